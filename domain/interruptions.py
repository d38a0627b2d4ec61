"""What the interpreter raises through a hook, between any two of its steps: told from what fails there."""

import inspect
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final, Self

#: Celery raises it by a signal handler, and in some of its pools by other means.
_TIME_LIMIT: Final = "SoftTimeLimitExceeded"

_MOST_CAUSES: Final = 20

#: Those that applications set limits by, or end by. To ask for all 64 takes 200 microseconds.
_SIGNALS: Final = (
    signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT,
)  # fmt: skip


def pass_interruption(error: BaseException) -> None:
    """Raise what interrupted the code that met this error, if that is why: whoever catches for a hook asks.

    An alarm's TimeoutError is an OSError, and Celery's time limit an Exception: only the traceback tells
    them from what a disk or a caller's value may raise.
    """
    for one in _chain(error):
        if is_interruption(one):
            raise one


class Suppressed:
    """Does what `contextlib.suppress` does, and lets what interrupts a hook pass."""

    def __init__(self, *kinds: type[Exception]) -> None:
        self._kinds = kinds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return isinstance(error, self._kinds) and not any(map(is_interruption, _chain(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was made from; not what its caller was handling meanwhile."""
    one: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if one is None:
            return
        yield one
        one = one.__cause__


def is_interruption(error: BaseException) -> bool:
    """Return whether a signal handler raised it, or the interpreter, rather than the code that ran."""
    if not isinstance(error, Exception):
        return True
    if any(kind.__name__ == _TIME_LIMIT for kind in type(error).__mro__):
        return True
    handlers = {_code_of(signal.getsignal(number)) for number in _SIGNALS} - {None}
    return any(
        frame.f_code in handlers or (caller is not None and _was_given(frame, caller))
        for caller, frame in _frames(error.__traceback__)
    )


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType | None, FrameType]]:
    """Yield each frame of a traceback with the one that called it."""
    caller = trace.tb_frame.f_back if trace else None
    while trace is not None:
        yield caller, trace.tb_frame
        caller, trace = trace.tb_frame, trace.tb_next


def _was_given(frame: FrameType, caller: FrameType) -> bool:
    """Return whether a function was called with the frame that called it, as only signal handlers are."""
    values = inspect.getargvalues(frame)
    given = [values.locals.get(name) for name in values.args]
    rest = values.locals.get(values.varargs) if values.varargs else ()
    return any(value is caller for value in (*given, *(rest if isinstance(rest, tuple) else ())))


def _code_of(handler: object) -> object:
    return getattr(getattr(handler, "__func__", handler), "__code__", None)
