"""How long a task retries what is away before it gives its message back; it ends when the worker stops."""

import logging
import mmap
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from celery import platforms, signals

from masterflow.domain.backoff import pause_s
from masterflow.domain.errors import TransientError

#: With one more attempt of at most ATTEMPT_TIMEOUT_S, below the hard time limit of a task.
RETRY_FOR_S: Final = 20.0

#: The longest that one attempt may take.
ATTEMPT_TIMEOUT_S: Final = 15.0

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 2.0
_LOOK_INTERVAL_S: Final = 0.2

_QUIET_S: Final = 60.0

_logger = logging.getLogger(__name__)

# When this process last said why it waits, by the reason of the error.
_warned_at: dict[str, float] = {}

T = TypeVar("T")


# One byte shared by the worker and the children it forks. It needs no lock, so a child that is
# killed while it looks cannot leave one behind.
_flag = mmap.mmap(-1, 1)


def is_stopping() -> bool:
    """Return whether the worker was asked to finish what it holds and end."""
    return _flag[0] == 1


@signals.worker_shutting_down.connect
def _raise_flag(**_: Any) -> None:
    _flag[0] = 1


@signals.worker_ready.connect
def _quit_as_gently_as_terminate(**_: Any) -> None:
    # Celery does its soft shutdown inside the signal's handler: it sleeps for all of its timeout, and if
    # the signal came while a task was being handed to a child, that child waits for the rest for ever
    # (once in 60 stops under load). As no task of ours waits for long, the warm shutdown of SIGTERM is
    # soft enough for SIGQUIT too. The children have handlers of their own.
    platforms.signals["SIGQUIT"] = lambda *_: os.kill(os.getpid(), signal.SIGTERM)


class Retries:
    """The time one task has for all its waiting; it ends at once when the worker stops."""

    def __init__(self, retry_for_s: float = RETRY_FOR_S) -> None:
        self._deadline = time.monotonic() + retry_for_s

    @property
    def is_over(self) -> bool:
        """Return whether the time is up."""
        return time.monotonic() > self._deadline

    def run(self, attempt: Callable[[], T]) -> T:
        """Repeat an attempt, at growing intervals of up to 2 s, until it works.

        Raises:
            TransientError: the time is up, or the worker stops; the message must go back to the broker.
        """
        failures = 0
        while True:
            failures += 1
            wait_s = pause_s(failures, first_s=_FIRST_WAIT_S, longest_s=_LONGEST_WAIT_S)
            try:
                return attempt()
            except TransientError as error:
                if is_stopping() or time.monotonic() + wait_s > self._deadline:
                    raise
                _warn(error)
            rest(wait_s)


def _warn(error: TransientError) -> None:
    """Log why a task waits, once a minute for each reason."""
    now = time.monotonic()
    if now - _warned_at.get(error.reason, -_QUIET_S) >= _QUIET_S:
        _warned_at[error.reason] = now
        _logger.warning("Waiting: %s", error)


def rest(seconds: float) -> None:
    """Sleep for this time, or until the worker stops."""
    end = time.monotonic() + seconds
    while not is_stopping() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_INTERVAL_S))
