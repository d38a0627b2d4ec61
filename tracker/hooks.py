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
from masterflow.tracker.reentry import put
from masterflow.tracker.report import refuse
from masterflow.tracker.tracker import FlowProgressTracker, current_flow
from masterflow.tracker.waits.boundaries import Stoppable, TaskStop, obey, obey_async, stop_of_task

P = ParamSpec("P")
R = TypeVar("R")


def phase(
    name: str,
    *,
    flow: FlowProgressTracker | None = None,
    stoppable: Stoppable = False,
    deadline_s: float | None = None,
) -> "PhaseHook":
    """Return the hook of one phase: a context manager and a decorator.

    It tells the phase's start, end and time, an error, and a retry when the phase is entered again after one.
    `flow` defaults to the tracker whose `with` block is around the code when the phase starts.
    Whatever the body raises passes through unchanged; what is no `Exception` (a cancelled task, Ctrl-C), and
    Celery's Retry, Ignore and Reject, count as `cancelled`.

    A `stoppable` phase obeys: where somebody asked the flow to stop, its beginning and its end raise
    FlowStopped, and where somebody asked it to pause, they wait until it may go on, in async code best as
    `async with phase(...)`. `stoppable="await"` also cancels the task around the block at its next await,
    and the block then ends by FlowStopped. Past `deadline_s` seconds the phase is shown as overdue.

    Raises:
        TypeError: it is used as a bare `@phase`, or decorates a generator.
    """
    if callable(name):
        raise TypeError('Give the phase a name: @phase("data_import"), not a bare @phase.')
    return PhaseHook(name, flow, stoppable=stoppable, deadline_s=deadline_s)


class PhaseHook:
    """A phase to enter, any number of times, one after the other, nested or at once."""

    def __init__(
        self,
        name: str,
        flow: FlowProgressTracker | None,
        *,
        stoppable: Stoppable = False,
        deadline_s: float | None = None,
    ) -> None:
        self._name = name
        self._flow = flow
        self._stoppable = stoppable
        self._deadline_s = deadline_s
        #: What cancels the task around an attempt, if it has one.
        self._attempts: dict[Attempt, TaskStop | None] = {}

    def __enter__(self) -> Attempt:
        if self._stoppable and (flow := self._flow or current_flow()):
            obey(flow.record)
        return self._begin()

    def _begin(self) -> Attempt:
        flow = self._flow or current_flow()
        attempt = _begin(self._name, flow, self._deadline_s)
        stops_task = self._stoppable == "await" and flow is not None
        self._attempts[attempt] = stop_of_task(flow.record) if stops_task and flow else None
        put(attempts_here, (*attempts_here.get(), attempt))
        return attempt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        attempt = self._end(error)
        if error is None and self._stoppable and attempt.flow is not None:
            obey(attempt.flow)

    def _end(self, error: BaseException | None) -> Attempt:
        """End the attempt of this block; if it is left because the flow is to stop, say so instead."""
        # A block that is left in another context than it was entered in finds its attempt in the hook.
        here = attempts_here.get()
        attempt = here[-1] if here else None
        if attempt not in self._attempts:
            attempt = next(
                (one for one in reversed(here) if one in self._attempts), next(reversed(self._attempts))
            )
        task_stop = self._attempts.pop(attempt)
        stopped = task_stop.leave(error) if task_stop else None
        attempt.end(error=stopped or error)
        put(attempts_here, without_last(attempts_here.get(), attempt))
        if stopped is not None:
            raise stopped from error
        return attempt

    async def __aenter__(self) -> Attempt:
        if self._stoppable and (flow := self._flow or current_flow()):
            await obey_async(flow.record)
        return self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        attempt = self._end(error)
        if error is None and self._stoppable and attempt.flow is not None:
            await obey_async(attempt.flow)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with each call of it as an attempt of this phase; no generator is accepted."""
        _refuse_generator(function)
        if _is_async(function):
            return cast("Callable[P, R]", self._around_async(function))

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._again():
                return function(*args, **kwargs)

        return call

    def _around_async(self, function: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            async with self._again():
                return await function(*args, **kwargs)

        return call

    def _again(self) -> "PhaseHook":
        return PhaseHook(self._name, self._flow, stoppable=self._stoppable, deadline_s=self._deadline_s)


def _begin(name: str, tracker: FlowProgressTracker | None, deadline_s: float | None) -> Attempt:
    try:
        return _record_of(tracker, name).begin(name, ending="hook", deadline_s=deadline_s)
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
