"""The phase hook: `with phase("data_import"):` or `@phase("data_import")`, for sync and async code."""

import inspect
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from masterflow.domain import InputInvalid
from masterflow.tracker.flow_record import FlowRecord
from masterflow.tracker.phase_run import PhaseRun, runs_here, without_last
from masterflow.tracker.progress import FlowProgressTracker, current_flow
from masterflow.tracker.refusals import refuse

P = ParamSpec("P")
R = TypeVar("R")


def phase(name: str, *, flow: FlowProgressTracker | None = None) -> "PhaseHook":
    """Return the hook of one phase: a context manager and a decorator.

    It tells the phase's start, end and time, an error, and a retry when the phase is entered again after one.
    `flow` defaults to the tracker whose `with` block is around the code when the phase starts.
    Whatever the body raises passes through unchanged; what is no `Exception` (a cancelled task,
    Ctrl-C) counts as `cancelled`.

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
        self._flows: dict[PhaseRun, FlowRecord | None] = {}

    def __enter__(self) -> PhaseRun:
        run, flow = _begin(self._name, self._flow or current_flow())
        self._flows[run] = flow
        runs_here.set((*runs_here.get(), run))
        return run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A block that is left in another context than it was entered in finds its run in the hook.
        run = next(
            (run for run in reversed(runs_here.get()) if run in self._flows), next(reversed(self._flows))
        )
        if flow := self._flows.pop(run):
            _end(flow, run, error)
        runs_here.set(without_last(runs_here.get(), run))

    async def __aenter__(self) -> PhaseRun:
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


def _begin(name: str, tracker: FlowProgressTracker | None) -> tuple[PhaseRun, FlowRecord | None]:
    try:
        flow = _record_of(tracker, name)
        run = flow.begin(name, is_scoped=True)
        flow.persist(flow.progress_event("processing", phase=name))
    except Exception as problem:  # noqa: BLE001  the flow must not fail because of its report
        refuse(problem)
        return PhaseRun(name, flow=None, is_scoped=True), None
    return run, flow


def _record_of(tracker: FlowProgressTracker | None, name: str) -> FlowRecord:
    if tracker is None:
        raise InputInvalid(f"The phase {name!r} has no flow; put it in a `with tracker:` block.")
    return tracker.record


def _end(flow: FlowRecord, run: PhaseRun, error: BaseException | None) -> None:
    status, facts = _outcome(error)
    try:
        if isinstance(error, Exception):
            flow.note_raised(error, phase=run.phase)
        told = flow.end(run, status, facts)
        flow.persist(flow.progress_event(told, phase=run.phase))
    except Exception as problem:  # noqa: BLE001  nor may it hide what the body raised
        refuse(problem, may_raise=error is None)


def _outcome(error: BaseException | None) -> tuple[str, dict[str, object]]:
    if error is None:
        return "completed", {}
    status = "failed" if isinstance(error, Exception) else "cancelled"
    return status, {"error_type": type(error).__name__}


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
