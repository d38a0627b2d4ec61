import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from masterflow.domain.interruptions import Suppressed, pass_interruption


class SoftTimeLimitExceeded(Exception):
    """Named as Celery's."""


class Limit:
    """A handler as applications write them."""

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error

    def method(self, signum: int, frame: FrameType | None) -> None:
        raise self._error("time is over")

    def forgetful(self, signum: int, frame: FrameType | None) -> None:
        del frame
        self._raise()

    def any_arguments(self, *_: object) -> None:
        self._raise()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self._raise()

    def _raise(self) -> None:
        raise self._error("time is over")


def no_object(error: type[BaseException]) -> Callable[[int, FrameType | None], None]:
    def handler(_number: int, _frame: FrameType | None) -> None:
        raise error("time is over")

    return handler


HANDLERS = [
    lambda error: Limit(error).method,
    lambda error: Limit(error).forgetful,
    lambda error: Limit(error).any_arguments,
    Limit,
    no_object,
]


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[..., None]], None]]:
    """What raises by a handler while the caller works."""
    former = signal.getsignal(signal.SIGALRM)

    def raise_by(handler: Callable[..., None]) -> None:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            sum(range(100))

    yield raise_by
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, former)


@pytest.mark.parametrize("make", HANDLERS)
@pytest.mark.parametrize("kind", [TimeoutError, ValueError, SoftTimeLimitExceeded])
def test_what_a_signal_handler_raises_passes(alarm, make, kind):
    with pytest.raises(kind, match="time is over"), Suppressed(Exception):
        alarm(make(kind))
    try:
        alarm(make(kind))
    except kind as error:
        with pytest.raises(kind, match="time is over"):
            pass_interruption(error)


def test_what_a_signal_handler_raised_passes_also_where_it_was_made_into_another_error(alarm):
    try:
        try:
            alarm(no_object(TimeoutError))
        except OSError as error:
            raise ValueError("it cannot be read") from error
    except ValueError as error:
        with pytest.raises(TimeoutError, match="time is over"):
            pass_interruption(error)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, SoftTimeLimitExceeded])
def test_what_is_no_failure_of_the_code_passes_however_it_came(kind):
    with pytest.raises(kind), Suppressed(Exception):
        raise kind
    with pytest.raises(kind):
        pass_interruption(kind())


def fail(*_: object) -> None:
    raise TimeoutError("the disk does not answer")


@pytest.mark.parametrize(
    "how", [fail, lambda: Limit(OSError).method(1, None), lambda: Path("/nowhere/at/all").read_bytes()]
)
def test_what_the_code_itself_fails_with_is_no_interruption(how):
    with Suppressed(OSError):
        how()
    try:
        how()
    except OSError as error:
        pass_interruption(error)


def test_what_the_caller_was_handling_is_no_interruption_of_what_failed_meanwhile(alarm):
    try:
        alarm(no_object(TimeoutError))
    except TimeoutError:
        try:
            fail()
        except OSError as error:
            pass_interruption(error)


def test_other_kinds_are_not_suppressed():
    with pytest.raises(ValueError, match="no"), Suppressed(OSError):
        raise ValueError("no")
