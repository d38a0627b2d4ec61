"""The progress tracker: tells the master row what a flow does, and never gets in its way."""

import contextvars
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, Final, Literal, ParamSpec, Self, TypeVar, overload
from uuid import UUID

from masterflow.domain import InputInvalid
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    FlowDeclared,
    MemoryMeasured,
    MetadataUpdated,
    UsageReported,
)
from masterflow.domain.ids import external_id
from masterflow.domain.interruptions import pass_interruption
from masterflow.domain.usage.budget import NO_BUDGET, Budget
from masterflow.tracker.attempts import Attempt, without_last
from masterflow.tracker.flow_record import FlowRecord
from masterflow.tracker.phase_progress import declared_progress
from masterflow.tracker.reentry import put
from masterflow.tracker.report import REPORTED, Rest, at_once, refuse
from masterflow.tracker.summaries import figures
from masterflow.tracker.tenants import TenantIds, tenant_of
from masterflow.tracker.traces import trace_here
from masterflow.tracker.usage import USD, budget_of, over_budget, used, used_here
from masterflow.tracker.waits.controlled import ControlledFlow
from masterflow.tracker.waits.deadlines import deadline_after, deadline_facts

P = ParamSpec("P")
R = TypeVar("R")

_flows_here: ContextVar[tuple["FlowProgressTracker", ...]] = ContextVar("flows_here", default=())


def current_flow() -> "FlowProgressTracker | None":
    """Return the tracker whose `with` block is around the running code, if there is one."""
    flows = _flows_here.get()
    return flows[-1] if flows else None


@overload
def create_progress_tracker(
    flow_id: UUID | str | int,
    context: TenantIds,
    *,
    phases: Sequence[str] = (),
    flow_type: str | None = None,
    flow_name: str | None = None,
    flow_configuration: Mapping[str, object] | None = None,
    create: Literal[False] = False,
    ends_flow: bool = True,
    budget_usd: USD | None = None,
    budget_tokens: int | None = None,
    deadline_s: float | None = None,
) -> "FlowProgressTracker": ...


@overload
def create_progress_tracker(
    flow_id: UUID | str | int,
    context: TenantIds,
    *,
    phases: Sequence[str] = (),
    flow_type: str,
    flow_name: str | None = None,
    flow_configuration: Mapping[str, object] | None = None,
    create: bool,
    ends_flow: bool = True,
    budget_usd: USD | None = None,
    budget_tokens: int | None = None,
    deadline_s: float | None = None,
) -> "FlowProgressTracker": ...


def create_progress_tracker(  # noqa: PLR0913  each is an option of its own, by name
    flow_id: UUID | str | int,
    context: TenantIds,
    *,
    phases: Sequence[str] = (),
    flow_type: str | None = None,
    flow_name: str | None = None,
    flow_configuration: Mapping[str, object] | None = None,
    create: bool = False,
    ends_flow: bool = True,
    budget_usd: USD | None = None,
    budget_tokens: int | None = None,
    deadline_s: float | None = None,
) -> "FlowProgressTracker":
    """Return a tracker of one flow; its context may be the caller's own request context.

    An id that is no UUID stands for `flow_uuid(id)` and is kept in `flow_metadata.external_flow_id`. Progress
    follows from `phases`, in order, else from those that flows of this type have.

    With `create`, a worker makes the flow's row if it is missing, from `flow_type` (which must be named),
    `flow_name` and `flow_configuration`; without it, `create_master_flow` has to. With `ends_flow=False`, an
    exception that leaves `with tracker:` does not end the flow. A flow that has cost more than `budget_usd`,
    or used more than `budget_tokens`, is shown as over budget and asked to stop (`tracker.stop_requested`).
    One that has not ended after `deadline_s` seconds is shown as overdue.
    """
    tracker = FlowProgressTracker(
        flow_id,
        context,
        phases=phases,
        flow_type=flow_type,
        ends_flow=ends_flow,
        budget=budget_of(budget_usd, budget_tokens),
        deadline_s=deadline_s,
    )
    if create:
        tracker.declare(flow_name, flow_configuration)
    return tracker


class FlowProgressTracker(ControlledFlow):
    """Tells what one flow does; its methods work when they are called, and neither wait nor raise.

    What they return may be awaited or dropped: `tracker.complete_flow()` in plain code and
    `await tracker.complete_flow()` do the same. Used as `with tracker:` it becomes the flow of every
    `phase(...)` inside the block. A block that an exception leaves ends the flow as `failed`, a cancelled one
    as `cancelled`; one that Celery's Retry, Ignore or Reject leaves does not.
    """

    def __init__(
        self,
        flow_id: UUID | str | int,
        context: TenantIds,
        *,
        phases: Sequence[str] = (),
        flow_type: str | None = None,
        ends_flow: bool = True,
        budget: Budget = NO_BUDGET,
        deadline_s: float | None = None,
    ) -> None:
        self._flow_type = flow_type
        self._budget = budget
        self._ends_flow = ends_flow
        progress = declared_progress(phases, flow_type)
        self.record: FlowRecord = FlowRecord(flow_id, tenant_of(context), progress)
        self.record.deadline_at = deadline_after(deadline_s)
        self.record.hold.learn(flow_type, self.record.deadline_at)
        self._keep_facts(flow_id)

    @property
    def flow_id(self) -> UUID | str:
        """The id of the flow's row."""
        return self.record.flow_id

    @at_once
    def declare(
        self, flow_name: str | None = None, flow_configuration: Mapping[str, object] | None = None
    ) -> Rest:
        """Let a worker make the flow's row if it is missing; of several declarations the earliest counts."""
        if self._flow_type is None:
            refuse(InputInvalid("A row has a type: pass flow_type with create=True; no row is made."))
            return None
        self.record.tell(
            FlowDeclared,
            flow_type=self._flow_type,
            flow_name=flow_name,
            flow_configuration=flow_configuration or {},
        )
        return None

    @at_once
    def start_phase(self, phase: str, message: str = "") -> Rest:
        """Tell that a phase starts; a second start after an error counts as a retry."""
        self.record.begin(phase, message=message, has_snapshot=not self._tells_own_progress)
        return self._tell_progress("processing") if self._tells_own_progress else None

    @at_once
    def complete_phase(self, phase: str, results: object = None) -> Rest:
        """Tell that a phase is done, how long it took, and the counts of its results; the flow goes on."""
        self.record.end_named(phase, "completed", figures(results), has_snapshot=not self._tells_own_progress)
        return self._tell_progress("completed", phase=phase) if self._tells_own_progress else None

    def begin(self, phase: str, message: str = "") -> Attempt:
        """Tell that an attempt of a phase starts, and return it, so that any thread or callback can end it.

        Several attempts of one phase may be open at once.
        """
        try:
            return self.record.begin(phase, message=message, ending="holder")
        except Exception as problem:  # noqa: BLE001  the flow must not fail because of its report
            pass_interruption(problem)
            refuse(problem)
            return Attempt(phase)

    @at_once
    def set_progress(self, percent: float, message: str | None = None) -> Rest:
        """Tell how far the flow is, from 0 to 100, until a declared phase starts or ends."""
        self.record.progress.set(percent)
        if message is not None:
            self.record.message = message
        return self._tell_progress("processing")

    @at_once
    def update_metadata(self, updates: Mapping[str, object]) -> Rest:
        """Note small things on the flow, such as `{"source": "cmdb"}`; each key keeps its newest value."""
        self.record.tell(MetadataUpdated, updates=updates)
        return None

    @at_once
    def report_agent_activity(
        self, agent: str, activity: str, details: Mapping[str, object] | None = None
    ) -> Rest:
        """Tell what an agent did."""
        entry = {
            "agent": agent,
            "activity": activity,
            "phase": self.record.phase_here,
            "details": details or {},
            **trace_here(),
        }
        self.record.tell(AgentCollaborated, entry=entry)
        return None

    @at_once
    def report_error(
        self,
        error: BaseException | str,
        phase: str | None = None,
        is_recoverable: bool = True,  # noqa: FBT001, FBT002
    ) -> Rest:
        """Tell of an error; one that is not recoverable ends its phase, and neither ends the flow."""
        phase = phase or self.record.phase_here
        self.record.note_error(error, phase=phase, is_recoverable=is_recoverable)
        if phase and not is_recoverable:
            self.record.end_named(phase, "failed", {})
        return self._tell_progress("error" if is_recoverable else "failed", phase=phase)

    @at_once
    def pause_for_user_input(self, message: str = "", awaiting_approval: bool = True) -> Rest:  # noqa: FBT001, FBT002
        """Tell that the flow waits for a human; the time until it resumes counts for no phase."""
        self.record.wait(message, for_approval=awaiting_approval)
        return self._tell_progress("awaiting_approval" if awaiting_approval else "awaiting_input")

    @at_once
    def resume_after_user_input(self, message: str = "") -> Rest:
        """Tell that the flow goes on; this also brings a failed flow back."""
        self.record.resume(message)
        return self._tell_progress("processing")

    @at_once
    def complete_flow(self, results: object = None) -> Rest:
        """Tell that the whole flow is done; nothing leaves this status."""
        self.record.complete()
        return self._tell_progress("completed", **figures(results))

    @at_once
    def fail_flow(self, error: BaseException | str) -> Rest:
        """Tell that the flow failed; an error that a phase has just told is not told twice."""
        self.record.fail(error)
        return self._tell_progress(self.record.status)

    @at_once
    def cancel_flow(self, message: str = "") -> Rest:
        """Tell that somebody gave the flow up; nothing leaves this status."""
        self.record.enter("cancelled", message)
        return self._tell_progress("cancelled")

    @at_once
    def report_memory(self, metrics: Mapping[str, object]) -> Rest:
        """Tell memory metrics, such as `{"peak_memory_mb": 512.0}`; each key keeps its newest value."""
        self.record.tell(MemoryMeasured, metrics=metrics)
        return None

    @at_once
    def report_agent_performance(self, metrics: Mapping[str, object]) -> Rest:
        """Tell performance metrics, such as `{"Schema Expert": {"calls": 3, "success_rate": 1.0}}`."""
        self.record.tell(AgentPerformanceMeasured, metrics=metrics)
        return None

    @at_once
    def report_usage(
        self,
        *,
        agent: str,
        model: str,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cost_usd: USD | None = None,
        calls: int = 1,
    ) -> Rest:
        """Tell that an agent called a model; all adds up exactly, per agent and model and per flow.

        Without `cost_usd` the price table of ENRICHMENT_PRICES says what it cost; where it does not know the
        model, the row says of how many calls the cost is unknown.
        """
        amounts = used(model, calls, input_tokens, output_tokens, cost_usd)
        self.record.tell(UsageReported, agent=agent, model=model, used=amounts)
        if self._budget != NO_BUDGET and self.over_budget:
            self.record.request_stop("budget", over_budget(self._budget, used_here(self.flow_id)))
        return None

    @property
    def over_budget(self) -> bool:
        """Return whether what this process reported of the flow is more than its budget."""
        return self._budget.is_exceeded_by(used_here(self.flow_id))

    def in_thread(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with this flow, and the phases around this call, as its own in any thread.

        For `Thread`, `ThreadPoolExecutor` and `run_in_executor`, which start without them:
        `pool.map(tracker.in_thread(score), items)`.
        """
        context = contextvars.copy_context()

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            # A copy for each call, as no context can be entered by two threads at once.
            return context.copy().run(self._inside(function), *args, **kwargs)

        return call

    def _inside(self, function: Callable[P, R]) -> Callable[P, R]:
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            put(_flows_here, (*_flows_here.get(), self))
            return function(*args, **kwargs)

        return call

    def _persist_progress_to_database(self, progress_data: Mapping[str, object]) -> Coroutine[Any, Any, None]:
        """Tell a snapshot, and the flow's status (`workflow_status`) if it changed; override to add to it.

        An override may be an `async def`; it runs at once as far as it does not wait.
        """
        self.record.persist(progress_data)
        return REPORTED

    @property
    def _tells_own_progress(self) -> bool:
        """Return whether a subclass, or a test, has put a method of its own in place of ours."""
        return getattr(self._persist_progress_to_database, "__func__", None) is not _OUR_PROGRESS

    def _tell_progress(
        self, phase_status: str, *, phase: str | None = None, **more: object
    ) -> Coroutine[Any, Any, None]:
        return self._persist_progress_to_database(
            {**self.record.progress_event(phase_status, phase=phase), **more}
        )

    @at_once
    def _keep_facts(self, flow_id: UUID | str | int) -> Rest:
        deadline = deadline_facts(self.record.deadline_at)
        if facts := {**external_id(flow_id), **self._budget.row_metadata(), **deadline}:
            self.record.tell(MetadataUpdated, updates=facts)
        return None

    def stay(self) -> None:
        """Become the flow of what runs in this context from now on, for whoever tells its end himself.

        That alone holds it in no process, as a block would.
        """
        put(_flows_here, (*_flows_here.get(), self))
        self.record.hold.lend()

    def __enter__(self) -> Self:
        around: tuple[FlowProgressTracker, ...] = (*_flows_here.get(), self)
        put(_flows_here, around)
        self.record.hold.enter(self.record.status)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        around = without_last(_flows_here.get(), self)
        put(_flows_here, around)
        try:
            if error is not None and self._ends_flow and self not in around:
                self.record.leave(error)
        except Exception as problem:  # noqa: BLE001  it may not hide what the body raised
            pass_interruption(problem)
            refuse(problem, may_raise=False)
        finally:
            self.record.hold.leave(self.record.status)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


_OUR_PROGRESS: Final = FlowProgressTracker._persist_progress_to_database  # noqa: SLF001  to be compared
