"""Running flows: an initialization handler, and whole flows in the background."""

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar, overload

from masterflow.tracker.hooks import PhaseHook, phase
from masterflow.tracker.summaries import shape
from masterflow.tracker.tracker import FlowProgressTracker
from masterflow.tracker.waits.boundaries import TaskStop

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)


@overload
async def run_initialization(handler: Callable[[], Awaitable[T]], tracker: FlowProgressTracker) -> T: ...
@overload
async def run_initialization(handler: Callable[[], T], tracker: FlowProgressTracker) -> T: ...
async def run_initialization(handler: Callable[[], Any], tracker: FlowProgressTracker) -> Any:
    """Return what the handler returns; its outcome is told with a small summary, never the payload."""
    with phase("initialization", flow=tracker) as run:
        outcome = handler()
        result = await outcome if inspect.isawaitable(outcome) else outcome
        run.note(result_summary=shape(result))
    return result


class FlowThreadPool(ThreadPoolExecutor):
    """A thread pool whose work has the flow, and the phases around it, of whoever submits it."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a thread; `map` and `run_in_executor` do it by this."""
        context = contextvars.copy_context()

        def run() -> T:
            return context.run(function, *args, **kwargs)

        return super().submit(run)


class FlowRunner:
    """Runs flows as tasks of the running event loop, keeps them referenced, and tells how each ended.

    One that was cancelled by `cancel` is cancelled for good; one that was stopped otherwise, such as with
    its process, is paused and may be resumed.
    """

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], FlowProgressTracker] = {}
        self._stops: dict[asyncio.Task[Any], TaskStop] = {}
        self._unwanted: set[asyncio.Task[Any]] = set()
        self._is_shut_down = False

    def start(
        self,
        flow: Coroutine[Any, Any, T],
        tracker: FlowProgressTracker,
        *,
        name: str = "discovery_execution",
        stoppable: bool = False,
    ) -> asyncio.Task[T]:
        """Run a flow in the background, as a phase of this name with the tracker as current flow.

        One that is `stoppable` is cancelled at its next await when somebody asks the flow to stop.

        Raises:
            RuntimeError: the runner was shut down.
        """
        if self._is_shut_down:
            flow.close()
            raise RuntimeError("This FlowRunner was shut down; make a new one.")
        loop, hook, context = (
            asyncio.get_running_loop(),
            phase(name, flow=tracker),
            contextvars.copy_context(),
        )
        if tracker.record.status == "failed":
            tracker.record.reopen()
        context.run(tracker.__enter__)
        context.run(hook.__enter__)
        task = loop.create_task(flow, name=f"{name} of flow {tracker.record.flow_id}", context=context)
        self._tasks[task] = tracker
        if stoppable:
            self._stops[task] = TaskStop(tracker.record.control, task)
        # A callback also sees a task that was cancelled before its first step.
        task.add_done_callback(lambda done: self._finish(done, hook), context=context)
        return task

    def cancel(self, flow_id: object) -> bool:
        """Give a running flow up for good; return whether there was one with this id."""
        found = [task for task, tracker in self._tasks.items() if str(tracker.record.flow_id) == str(flow_id)]
        self._unwanted.update(found)
        for task in found:
            task.cancel()
        return bool(found)

    async def shutdown(self, timeout_s: float) -> bool:
        """Stop all flows and refuse new ones; return whether all had ended in time."""
        self._is_shut_down = True
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            return True
        _, running = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in running:
            _log.warning("%s did not stop within %s s.", task.get_name(), timeout_s)
        return not running

    def _finish(self, task: asyncio.Task[Any], hook: PhaseHook) -> None:
        record = self._tasks.pop(task).record
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if (stop := self._stops.pop(task, None)) is not None:
            error = stop.leave(error) or error
        hook.__exit__(type(error) if error else None, error, None)
        if error is None and record.status == "processing":
            record.complete()
        elif isinstance(error, Exception):
            if not record.is_stopped_by(error):
                _log.error("%s failed.", task.get_name(), exc_info=error)
            record.fail(error)
        elif task in self._unwanted:
            record.enter("cancelled", "The flow was given up.")
        elif error is not None and not record.is_waiting:
            record.enter("paused", "The flow was stopped before its end.")
        self._unwanted.discard(task)
        record.persist(record.progress_event(record.status))
