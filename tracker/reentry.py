"""What a signal handler or the garbage collector may come in on, at any instruction, and not hang."""

import threading
from contextvars import ContextVar, copy_context
from typing import TypeVar

from masterflow.domain.interruptions import Suppressed

T = TypeVar("T")


def put(variable: ContextVar[T], value: T) -> None:
    """Set a context variable, also where the garbage collector comes in and sets another one meanwhile.

    Up to Python 3.11, `ContextVar.set` does not hold on to what it copies: such a second `set` frees it,
    and the process crashes. A copy of the context holds it.
    """
    held = copy_context()
    variable.set(value)
    del held


class Wake:
    """A flag that one thread waits for and that goes down as it wakes.

    Any thread sets it, also a signal handler or the garbage collector in the midst of another `set`:
    `threading.Event` takes a lock meanwhile, on which they would hang.
    """

    def __init__(self) -> None:
        self._is_down = threading.Lock()
        self._is_down.acquire()

    def set(self) -> None:
        """Wake the thread, or let its next `wait` end at once."""
        if self._is_down.locked():
            with Suppressed(RuntimeError):  # Another thread was faster.
                self._is_down.release()

    def clear(self) -> None:
        """Take the flag down."""
        self._is_down.acquire(blocking=False)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the flag and take it down; return whether it was up in time."""
        return self._is_down.acquire(timeout=-1 if timeout_s is None else timeout_s)


def is_owned(lock: "threading.RLock") -> bool:
    """Return whether this thread holds the lock: then somebody has come in between its steps."""
    return bool(lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001  as `threading.Condition` asks
