"""One attempt of a phase, and which attempts are around the running code."""

import time
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class PhaseRun:
    """An attempt of a phase; its watch stands still while the phase waits for a human."""

    def __init__(self, phase: str, *, flow: object, is_scoped: bool) -> None:
        self.phase = phase
        self.flow = flow
        #: A hook opened it and will end it; the others end when the tracker is told so.
        self.is_scoped = is_scoped
        #: Its code has ended while it waits for a human: it is completed when the answer comes.
        self.is_left = False
        self.facts: dict[str, Any] = {}
        self._worked_s = 0.0
        self._going_since: float | None = time.monotonic()

    def note(self, **facts: object) -> None:
        """Add small facts (counts, scores) to the transition that will end this attempt."""
        self.facts.update(facts)

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


#: The attempts that hooks opened around the running code, outermost first.
runs_here: ContextVar[tuple[PhaseRun, ...]] = ContextVar("runs_here", default=())


def without_last(stack: tuple[T, ...], item: T) -> tuple[T, ...]:
    """Return the stack without the last occurrence of an item; one that is not there is no mistake."""
    places = [index for index, other in enumerate(stack) if other is item]
    return (*stack[: places[-1]], *stack[places[-1] + 1 :]) if places else stack
