"""The progress tracker: tells the master row what a flow does, and never gets in its way."""

from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, Self, cast
from uuid import UUID

from masterflow.domain import FlowContext
from masterflow.domain.events import AgentCollaborated, AgentPerformanceMeasured, MemoryMeasured
from masterflow.domain.tenant import flow_context
from masterflow.tracker.flow_record import FlowRecord
from masterflow.tracker.phase_run import without_last
from masterflow.tracker.refusals import refuse
from masterflow.tracker.summaries import figures

P = ParamSpec("P")

_flows_here: ContextVar[tuple["FlowProgressTracker", ...]] = ContextVar("flows_here", default=())


class TenantIds(Protocol):
    """Whatever names a client account, an engagement and a user, such as a `FlowContext`."""

    @property
    def client_account_id(self) -> object:
        """A UUID or its text."""

    @property
    def engagement_id(self) -> object:
        """A UUID or its text."""

    @property
    def user_id(self) -> object:
        """A text or a UUID."""


def current_flow() -> "FlowProgressTracker | None":
    """Return the tracker whose `with` block is around the running code, if there is one."""
    flows = _flows_here.get()
    return flows[-1] if flows else None


def create_progress_tracker(flow_id: UUID | str, context: TenantIds) -> "FlowProgressTracker":
    """Return a tracker of one flow; its context may be the caller's own request context."""
    return FlowProgressTracker(flow_id, context)


def _harmless(
    method: Callable[Concatenate["FlowProgressTracker", P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate["FlowProgressTracker", P], Coroutine[Any, Any, None]]:
    """Let a method refuse what it cannot understand in the log, instead of failing the flow."""

    @wraps(method)
    async def call(self: "FlowProgressTracker", /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await method(self, *args, **kwargs)
        except Exception as problem:  # noqa: BLE001  the flow must not fail because of its report
            refuse(problem)

    return call


class FlowProgressTracker:
    """Tells what one flow does; its methods neither wait nor raise.

    Used as `with tracker:` it becomes the flow of every `phase(...)` inside the block.
    """

    def __init__(self, flow_id: UUID | str, context: TenantIds) -> None:
        self.record = FlowRecord(flow_id, _tenant(context))

    @_harmless
    async def start_phase(self, phase: str, message: str = "") -> None:
        """Tell that a phase starts; a second start after an error counts as a retry."""
        self.record.begin(phase, message=message)
        await self._tell_progress("processing")

    @_harmless
    async def complete_phase(self, phase: str, results: object = None) -> None:
        """Tell that a phase is done, how long it took, and the counts of its results; the flow goes on."""
        self.record.end_named(phase, "completed", figures(results))
        await self._tell_progress("completed", phase=phase)

    @_harmless
    async def report_agent_activity(
        self, agent: str, activity: str, details: Mapping[str, object] | None = None
    ) -> None:
        """Tell what an agent did."""
        entry = {
            "agent": agent,
            "activity": activity,
            "phase": self.record.phase_here,
            "details": details or {},
        }
        self.record.tell(AgentCollaborated, entry=entry)

    @_harmless
    async def report_error(
        self,
        error: BaseException | str,
        phase: str | None = None,
        is_recoverable: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        """Tell of an error; one that is not recoverable ends its phase, and neither ends the flow."""
        phase = phase or self.record.phase_here
        self.record.note_error(error, phase=phase, is_recoverable=is_recoverable)
        if phase and not is_recoverable:
            self.record.end_named(phase, "failed", {})
        await self._tell_progress("error" if is_recoverable else "failed", phase=phase)

    @_harmless
    async def pause_for_user_input(self, message: str = "", awaiting_approval: bool = True) -> None:  # noqa: FBT001, FBT002
        """Tell that the flow waits for a human; the time until it resumes counts for no phase."""
        self.record.wait(message, for_approval=awaiting_approval)
        await self._tell_progress("awaiting_approval" if awaiting_approval else "awaiting_input")

    @_harmless
    async def resume_after_user_input(self, message: str = "") -> None:
        """Tell that the flow goes on; this also brings a failed flow back."""
        self.record.resume(message)
        await self._tell_progress("processing")

    @_harmless
    async def complete_flow(self, results: object = None) -> None:
        """Tell that the whole flow is done; nothing leaves this status."""
        self.record.complete()
        await self._tell_progress("completed", **figures(results))

    @_harmless
    async def fail_flow(self, error: BaseException | str) -> None:
        """Tell that the flow failed; an error that a phase has just told is not told twice."""
        self.record.fail(error)
        await self._tell_progress("failed")

    @_harmless
    async def cancel_flow(self, message: str = "") -> None:
        """Tell that somebody gave the flow up; nothing leaves this status."""
        self.record.enter("cancelled", message)
        await self._tell_progress("cancelled")

    @_harmless
    async def report_memory(self, metrics: Mapping[str, object]) -> None:
        """Tell memory metrics, such as `{"peak_memory_mb": 512.0}`; each key keeps its newest value."""
        self.record.tell(MemoryMeasured, metrics=metrics)

    @_harmless
    async def report_agent_performance(self, metrics: Mapping[str, object]) -> None:
        """Tell performance metrics, such as `{"Schema Expert": {"calls": 3, "success_rate": 1.0}}`."""
        self.record.tell(AgentPerformanceMeasured, metrics=metrics)

    async def _persist_progress_to_database(self, progress_data: Mapping[str, object]) -> None:
        """Tell a snapshot, and the flow's status (`workflow_status`) if it changed; override to add to it."""
        self.record.persist(progress_data)

    async def _tell_progress(self, phase_status: str, *, phase: str | None = None, **more: object) -> None:
        await self._persist_progress_to_database(
            {**self.record.progress_event(phase_status, phase=phase), **more}
        )

    def __enter__(self) -> Self:
        _flows_here.set((*_flows_here.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _flows_here.set(without_last(_flows_here.get(), self))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _tenant(context: TenantIds) -> FlowContext:
    if isinstance(context, FlowContext):
        return context
    try:
        return flow_context(context.client_account_id, context.engagement_id, context.user_id)
    except (AttributeError, ValueError):
        # Each report with it will be refused, with the reason.
        return cast("FlowContext", context)
