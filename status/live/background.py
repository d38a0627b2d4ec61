"""Work beside the requests that goes on whatever happens in it, and says when it does not do well."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from masterflow.domain import TransientError
from masterflow.domain.backoff import pause_s

_logger = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0


class BackgroundTask:
    """Takes turns until it is cancelled; after one that fails the next one comes, later each time.

    A turn returns how many seconds to wait until the next one, None to sleep until `wake`. `when_told` is
    called with the error after a turn that failed, and with None after one that did not.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], Awaitable[float | None]],
        *,
        when_told: Callable[[Exception | None], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._turn = turn
        self._when_told = when_told
        self._failures = 0
        self._problem: str | None = None
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """Return what is wrong with it in a sentence; None while it does well."""
        if self._task is not None and self._task.done():
            return f"{self._name} has ended; restart this process."
        return self._problem

    def start(self) -> "asyncio.Task[None]":
        """Let it go on by itself, and return what cancels it."""
        self._task = asyncio.create_task(self.run())
        return self._task

    def wake(self) -> None:
        """Let the next turn come if it sleeps."""
        self._woken.set()

    async def run(self) -> None:
        """Take turns until cancelled."""
        while True:
            self._woken.clear()
            wait_s = await self._take_turn()
            await (self._woken.wait() if wait_s is None else asyncio.sleep(wait_s))

    async def _take_turn(self) -> float | None:
        try:
            wait_s = await self._turn()
        except TransientError as error:
            _logger.warning("%s waits: %s", self._name, error)
            self._note(error, str(error))
            return _FIRST_PAUSE_S
        except Exception as error:
            self._failures += 1
            wait_s = pause_s(self._failures, first_s=_FIRST_PAUSE_S, longest_s=_LONGEST_PAUSE_S)
            _logger.exception("%s fails; the next try comes in %.0f s.", self._name, wait_s)
            self._note(error, f"{self._name} fails ({type(error).__name__}); the log says why.")
            return wait_s
        self._failures = 0
        self._note(None, None)
        return wait_s

    def _note(self, error: Exception | None, problem: str | None) -> None:
        self._problem = problem
        self._when_told(error)
