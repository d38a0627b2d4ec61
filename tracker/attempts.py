"""One attempt of a phase: its watch, what it noted, and which attempts are around the running code."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeVar

from masterflow.tracker.control.registry import FlowControl
from masterflow.tracker.control.requests import Message

T = TypeVar("T")

#: Who ends an attempt: the hook that opened it, `complete_phase` by its name, or who holds it.
Ending = Literal["hook", "name", "holder"]

#: What identifies an error: its address and its text, as the address alone may be that of a later one.
ErrorMark = tuple[int, str]

# An outer attempt may see any number of errors pass; it is asked about the newest.
_MOST_MARKS: Final = 16


class Attempt:
    """One attempt of a phase, which any thread may end; its watch stands still while a human decides."""

    def __init__(
        self,
        phase: str,
        *,
        flow: "AttemptedFlow | None" = None,
        ending: Ending = "hook",
        parent: "Attempt | None" = None,
        moment: int = 0,
    ) -> None:
        self.phase = phase
        self.flow = flow
        self.ending = ending
        self.parent = parent
        #: Its place among the begins and the errors of its flow.
        self.moment = moment
        #: Its code has ended while it waits for a human: it is completed when the answer comes.
        self.is_left = False
        #: When it becomes overdue.
        self.deadline_at: datetime | None = None
        self.facts: dict[str, Any] = {}
        #: The newest errors that were reported inside it.
        self.reported_errors: tuple[ErrorMark, ...] = ()
        self._worked_s = 0.0
        #: By the monotonic clock.
        self.began_s = time.monotonic()
        self._going_since: float | None = self.began_s

    @property
    def is_scoped(self) -> bool:
        """Return whether a hook opened it and will end it."""
        return self.ending == "hook"

    def note(self, **facts: object) -> None:
        """Add small facts (counts, scores) to the transition that will end this attempt."""
        self.facts.update(facts)

    def end(
        self, *, status: str | None = None, error: BaseException | str | None = None, **facts: object
    ) -> None:
        """End the attempt, from any thread or callback; ending it again changes nothing and is counted.

        The status defaults to `completed`, to `failed` after an error, and to `cancelled` after what is none,
        such as `asyncio.CancelledError`. An error that was reported already is not reported again.
        """
        if self.flow is not None:
            self.flow.end_attempt(self, status, error, facts)

    def stop(self) -> None:
        """Stop counting: it is a human's turn."""
        if self._going_since is not None:
            self._worked_s += time.monotonic() - self._going_since
            self._going_since = None

    def go(self) -> None:
        """Count again."""
        if self._going_since is None:
            self._going_since = time.monotonic()

    @property
    def elapsed_ms(self) -> float:
        """Return the working time so far."""
        going_s = 0.0 if self._going_since is None else time.monotonic() - self._going_since
        return round((self._worked_s + going_s) * 1000, 3)

    def remember(self, mark: ErrorMark) -> None:
        """Note that an error was reported inside this attempt, and so inside those around it."""
        attempt: Attempt | None = self
        while attempt is not None:
            attempt.reported_errors = (*attempt.reported_errors[1 - _MOST_MARKS :], mark)
            attempt = attempt.parent


class AttemptedFlow(Protocol):
    """The flow of an attempt."""

    @property
    def control(self) -> FlowControl:
        """What people want of it."""

    def pause(self, request: Message) -> None:
        """Tell that it waits because somebody asked for it."""

    def go_on(self, request: Message | None) -> None:
        """Tell that it goes on."""

    def end_attempt(
        self,
        attempt: Attempt,
        status: str | None,
        error: BaseException | str | None,
        facts: Mapping[str, object],
    ) -> None:
        """End an attempt and report it."""


#: The attempts that hooks opened around the running code, outermost first.
attempts_here: ContextVar[tuple[Attempt, ...]] = ContextVar("attempts_here", default=())


def without_last(stack: tuple[T, ...], item: T) -> tuple[T, ...]:
    """Return the stack without the last occurrence of an item; one that is not there is no mistake."""
    if stack and stack[-1] is item:
        return stack[:-1]
    places = [index for index, other in enumerate(stack) if other is item]
    return (*stack[: places[-1]], *stack[places[-1] + 1 :]) if places else stack
