"""The phase hook: `with phase("data_import"):` or `@phase("data_import")`, for sync and async code."""

import inspect
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from masterflow.domain import InputInvalid
from masterflow.domain.interruptions import pass_interruption
from masterflow.tracker.attempts import Attempt, attempts_here, without_last
from masterflow.tracker.flow_record import FlowRecord
from masterflow.tracker.report import refuse
from masterflow.tracker.tracker import FlowProgressTracker, current_flow

P = ParamSpec("P")
R = TypeVar("R")


def phase(name: str, *, flow: FlowProgressTracker | None = None) -> "PhaseHook":
    """Return the hook of one phase: a context manager and a decorator.

    It tells the phase's start, end and time, an error, and a retry when the phase is entered again after one.
    `flow` defaults to the tracker whose `with` block is around the code when the phase starts.
    Whatever the body raises passes through unchanged; what is no `Exception` (a cancelled task, Ctrl-C), and
    Celery's Retry, Ignore and Reject, count as `cancelled`.

    Raises:
        TypeError: it is used as a bare `@phase`, or decorates a generator.
    """
    if callable(name):
        raise TypeError('Give the phase a name: @phase("data_import"), not a bare @phase.')
    return PhaseHook(name, flow)


class PhaseHook:
    """A phase to enter, any number of times, one after the other, nested or at once."""

    def __init__(self, name: str, flow: FlowProgressTracker | None) -> None:
        self._name = name
        self._flow = flow
        self._attempts: dict[Attempt, None] = {}

    def __enter__(self) -> Attempt:
        attempt = _begin(self._name, self._flow or current_flow())
        self._attempts[attempt] = None
        attempts_here.set((*attempts_here.get(), attempt))
        return attempt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A block that is left in another context than it was entered in finds its attempt in the hook.
        attempt = next(
            (one for one in reversed(attempts_here.get()) if one in self._attempts),
            next(reversed(self._attempts)),
        )
        del self._attempts[attempt]
        attempt.end(error=error)
        attempts_here.set(without_last(attempts_here.get(), attempt))

    async def __aenter__(self) -> Attempt:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with each call of it as an attempt of this phase; no generator is accepted."""
        _refuse_generator(function)
        if _is_async(function):
            return cast("Callable[P, R]", self._around_async(function))

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with PhaseHook(self._name, self._flow):
                return function(*args, **kwargs)

        return call

    def _around_async(self, function: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            with PhaseHook(self._name, self._flow):
                return await function(*args, **kwargs)

        return call


def _begin(name: str, tracker: FlowProgressTracker | None) -> Attempt:
    try:
        return _record_of(tracker, name).begin(name, ending="hook")
    except Exception as problem:  # noqa: BLE001  the flow must not fail because of its report
        pass_interruption(problem)
        refuse(problem)
        return Attempt(name)


def _record_of(tracker: FlowProgressTracker | None, name: str) -> FlowRecord:
    if tracker is None:
        raise InputInvalid(
            f"The phase {name!r:.120} has no flow; put it in a `with tracker:` block. A thread starts without"
            " one: hand it `tracker.in_thread(function)`, use a `FlowThreadPool`, or name the flow:"
            " `phase(..., flow=tracker)`."
        )
    return tracker.record


def _is_async(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  an object whose call is async
    )


def _refuse_generator(function: object) -> None:
    if not callable(function):
        raise TypeError(
            f"@phase decorates functions, not a {type(function).__name__}; put it below @classmethod."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"@phase cannot time the generator {name}: use `with phase(...)` where its items are consumed."
        )
