"""The entrance: what every hook calls when something happened, and what it does with nonsense."""

from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, cast
from uuid import UUID

from masterflow.domain import FlowContext, InputInvalid, SettingsInvalid
from masterflow.domain.event_text import event_text
from masterflow.domain.events import Event
from masterflow.domain.interruptions import pass_interruption
from masterflow.tracker.outbox.process import process_delivery

P = ParamSpec("P")
S = TypeVar("S")

_repeated_ends = 0


def report(kind: type[Event], context: FlowContext, flow_id: UUID | str, **fields: Any) -> None:
    """Keep an event of something that just happened until a worker has applied it.

    Costs about as much as a log line, waits for nothing but a local write, and raises nothing but, with
    ENRICHMENT_STRICT=true, `InputInvalid` for a report that makes no sense. It is made for any thread and
    any event loop.
    """
    try:
        event = event_text(kind, context, flow_id, **fields)
        process_delivery.append(kind.lane, event)
    except OSError as error:
        pass_interruption(error)
        process_delivery.losses.note("disk", error)
    except SettingsInvalid as error:
        pass_interruption(error)
        process_delivery.losses.note("settings", error)
    except Exception as error:  # noqa: BLE001  nothing that a hook is given may stop its flow
        pass_interruption(error)
        name = getattr(kind, "__name__", type(kind).__name__)
        refuse(InputInvalid(f"A report of {name} makes no sense: {type(error).__name__}: {error}"))


def refuse(problem: Exception, *, may_raise: bool = True) -> None:
    """Count what makes no sense and log it at most once a minute; with ENRICHMENT_STRICT=true raise it."""
    if may_raise and process_delivery.is_strict:
        raise problem
    text = str(problem) if isinstance(problem, InputInvalid) else f"{type(problem).__name__}: {problem}"
    process_delivery.losses.note("invalid", text)


def note_repeated_end(phase: str) -> None:
    """Count that an attempt was ended once more than it was begun, which changes nothing."""
    global _repeated_ends  # noqa: PLW0603
    _repeated_ends += 1
    process_delivery.losses.log.warning(
        "repeated end", "An attempt of %r was ended again; only its first end counts.", phase
    )


def repeated_ends() -> int:
    """Return how many attempts were ended again since the process started."""
    return _repeated_ends


class Reported(Coroutine[Any, Any, None]):
    """A report that has taken effect: await it, make a task of it, or drop it, as your code likes.

    What is left of a subclass's own `async def` goes on when this is awaited; it cannot fail the flow.
    """

    def __init__(self, rest: Coroutine[Any, Any, None] | None = None) -> None:
        self._rest = rest
        self._first: list[Any] = []

    def begin(self) -> Self:
        """Run a subclass's `async def` up to where it waits, for callers that cannot await."""
        try:
            self._first = [self.send(None)]
        except StopIteration:
            self._rest = None
        return self

    def send(self, value: Any) -> Any:
        """Go on, as event loops do.

        Raises:
            StopIteration: it is done.
        """
        if self._rest is None:
            raise StopIteration
        if self._first:
            return self._first.pop()
        return self._step(self._rest.send, value)

    def throw(self, error: Any, *_: Any) -> Any:
        """Let what waits end by an error, such as a cancellation."""
        if self._rest is None:
            raise error
        return self._step(self._rest.throw, error)

    def close(self) -> None:
        """Give up what is left."""
        if self._rest is not None:
            self._rest.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return cast("Generator[Any, Any, None]", self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def _step(self, step: Any, value: Any) -> Any:
        try:
            return step(value)
        except StopIteration:
            self._rest = None
            raise
        except Exception as problem:  # noqa: BLE001  the flow must not fail because of its report
            self._rest = None
            pass_interruption(problem)
            refuse(problem)
            raise StopIteration from None


#: Nothing is left to do.
REPORTED: Final = Reported()

#: Nothing, or what a subclass's `async def` has still to do.
Rest = Coroutine[Any, Any, None] | None


def at_once(
    method: Callable[Concatenate[S, P], Rest],
) -> Callable[Concatenate[S, P], Reported]:
    """Let a method work when it is called, and refuse what makes no sense instead of failing the flow."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Reported:
        try:
            rest = method(self, *args, **kwargs)
            return REPORTED if rest is None or rest is REPORTED else Reported(rest).begin()
        except Exception as problem:  # noqa: BLE001  the flow must not fail because of its report
            pass_interruption(problem)
            refuse(problem)
            return REPORTED

    return call
