"""What one flow is doing right now, and the report that each change of it makes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    ErrorOccurred,
    Event,
    FlowRetried,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from masterflow.domain.phases import PHASE_PROGRESS, canonical_phase
from masterflow.domain.statuses import FINAL_STATUSES, FlowStatus
from masterflow.tracker.phase_run import PhaseRun, runs_here
from masterflow.tracker.report import report
from masterflow.tracker.summaries import describe_error, text_of

_WAITING: Final = frozenset({"paused", "waiting_for_approval"})

#: The phase of an error that happens before the flow has entered any.
_NO_PHASE: Final = "flow"


class FlowRecord:
    """The state of one flow as this process knows it; threads and tasks may share it.

    There is no lock: each change is one operation on a set or an attribute, and what a race could
    add (a status reported twice) changes nothing in the row.
    """

    def __init__(self, flow_id: UUID | str, context: FlowContext) -> None:
        self.flow_id = flow_id
        self.context = context
        self.status: FlowStatus = "initialized"
        self.phase: str | None = None
        self.progress = 0
        self.message = ""
        self._open: set[PhaseRun] = set()
        self._waiting: set[PhaseRun] = set()
        self._failed_phases: set[str] = set()
        self._paused_phase: str | None = None
        self._last_error: tuple[int, str] | None = None
        self._reported_status: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Return whether the flow waits for a human, or was stopped and waits to be resumed."""
        return self.status in _WAITING

    @property
    def phase_here(self) -> str | None:
        """Return the innermost phase around the caller, else the one that started last."""
        here = self._runs_here()
        return here[-1].phase if here else self.phase

    def enter(self, status: FlowStatus, message: str = "") -> None:
        """Note the flow's status, for the next snapshot to report; nothing leaves a final one."""
        if self.status not in FINAL_STATUSES:
            self.status, self.message = status, message

    def begin(self, phase: str, *, message: str = "", is_scoped: bool = False) -> PhaseRun:
        """Open an attempt of a phase; after an error in that phase it is a retry of the flow."""
        self._last_error = None
        if not is_scoped and (former := self.find(phase)):
            self._open.discard(former)
        self._end_wait_if_over()
        self._count_retry(phase)
        if self.status == "initialized":
            self.enter("processing")
        self.phase, self.message = phase, message
        self.progress = PHASE_PROGRESS.get(canonical_phase(phase) or "", self.progress)
        run = PhaseRun(phase, flow=self, is_scoped=is_scoped)
        self._open.add(run)
        self.transition(phase, "processing", {"message": message} if message else {})
        return run

    def end(self, run: PhaseRun, status: str, facts: Mapping[str, object]) -> str:
        """Close an attempt, never the flow, and return the status told; what was not cancelled is timed.

        A hook's block that is left while it waits for a human stays paused until the answer comes.
        """
        if status == "completed" and run.is_scoped and run in self._waiting:
            run.is_left = True
            return "paused"
        self._open.discard(run)
        run.stop()
        elapsed_ms = run.elapsed_ms
        self.transition(run.phase, status, {"execution_time_ms": elapsed_ms, **run.facts, **facts})
        if status != "cancelled":
            self.tell(PhaseTimed, phase=run.phase, execution_time_ms=elapsed_ms)
        return status

    def end_named(self, phase: str, status: str, facts: Mapping[str, object]) -> None:
        """Close the attempt that `begin` opened for this phase; without one its time is not known."""
        if run := self.find(phase):
            self.end(run, status, facts)
        else:
            self.transition(phase, status, facts)

    def find(self, phase: str | None) -> PhaseRun | None:
        """Return the open attempt of a phase that no hook will end, if there is one."""
        return next((run for run in tuple(self._open) if run.phase == phase and not run.is_scoped), None)

    def note_error(self, error: object, *, phase: str | None = None, **details: object) -> None:
        """Report an error, each time it is called."""
        phase = phase or self.phase_here or _NO_PHASE
        self._failed_phases.add(phase)
        self._last_error = _identity(error)
        self.message = text_of(error)
        self.tell(
            ErrorOccurred, phase=phase, error=self.message, details={**describe_error(error), **details}
        )

    def note_raised(self, error: object, *, phase: str | None = None) -> None:
        """Report an error that passes by, unless whoever saw it before has just reported it."""
        if _identity(error) != self._last_error:
            self.note_error(error, phase=phase)

    def wait(self, message: str, *, for_approval: bool) -> None:
        """Let the flow wait for a human; its open phases stop counting.

        A phase that a hook opened in another task goes on working, so it goes on counting.
        """
        here = self._runs_here()
        waiting = {run for run in tuple(self._open) if run in here or not (here and run.is_scoped)}
        for run in waiting:
            run.stop()
        self._waiting |= waiting
        self._paused_phase = phase = self.phase_here
        self.enter("waiting_for_approval" if for_approval else "paused", message)
        if phase:
            self.transition(phase, "paused", {"message": message, "awaiting_approval": for_approval})

    def resume(self, message: str) -> None:
        """Let the flow go on, also when it has failed or when another process paused it."""
        if self.status in FINAL_STATUSES:
            return
        self.reopen()
        self.message = message
        if phase := self._paused_phase or self.phase_here:
            self.transition(phase, "processing", {"message": message, "is_resumed": True})
        self._go_on()

    def reopen(self) -> None:
        """Let the flow run again, whatever its status is."""
        self.status = self._reported_status = "processing"
        self.tell(StatusChanged, status="processing", reopens=True, metadata=_flags({"is_processing": True}))

    def complete(self) -> None:
        """Let the flow be done."""
        self.progress = 100
        self.enter("completed")

    def fail(self, error: object) -> None:
        """Let the flow be failed, and its phase with it."""
        self.note_raised(error)
        if run := self.find(self.phase):
            self.end(run, "failed", {})
        self.enter("failed", self.message)

    def progress_event(self, phase_status: str, *, phase: str | None = None) -> dict[str, object]:
        """Return the snapshot of now.

        Each fact stands under the two names that readers of the row look for; `status` is the
        phase's, `workflow_status` the flow's.
        """
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        return {
            "phase": phase or self.phase_here,
            "current_phase": self.phase,
            "progress": self.progress,
            "progress_percentage": self.progress,
            "status": phase_status,
            "workflow_status": self.status,
            "message": self.message,
            "status_message": self.message,
            "is_processing": self.status == "processing",
            "awaiting_user_input": self.is_waiting,
            "awaiting_user_approval": self.status == "waiting_for_approval",
            "timestamp": now,
            "last_updated": now,
        }

    def persist(self, progress: Mapping[str, object]) -> None:
        """Report a snapshot, and before it the flow's status if that has changed."""
        status = progress.get("workflow_status", "processing")
        if status != self._reported_status:
            self._reported_status = str(status)
            self.tell(StatusChanged, status=status, metadata=_flags(progress))
        self.tell(ProgressReported, snapshot=progress)

    def transition(self, phase: str, status: str, facts: Mapping[str, object]) -> None:
        """Report that a phase entered a status."""
        self.tell(PhaseTransitioned, phase=phase, status=status, metadata=facts)

    def tell(self, kind: type[Event], **fields: object) -> None:
        """Report something that happened to this flow just now."""
        report(kind, self.context, self.flow_id, **fields)

    def _runs_here(self) -> tuple[PhaseRun, ...]:
        return tuple(run for run in runs_here.get() if run.flow is self)

    def _count_retry(self, phase: str) -> None:
        try:
            self._failed_phases.remove(phase)
        except KeyError:
            return
        self.tell(FlowRetried)
        # A phase that only goes on beside the failed one must not bring the flow back; a retry does.
        if self.status == "failed":
            self.reopen()

    def _end_wait_if_over(self) -> None:
        """Take a phase that starts for the human's answer, unless it starts beside the phase that waits."""
        elsewhere = (self._waiting & self._open).difference(self._runs_here())
        if self.is_waiting and not any(run.is_scoped and not run.is_left for run in elsewhere):
            self._go_on()
            self.enter("processing")

    def _go_on(self) -> None:
        waiting, self._waiting, self._paused_phase = self._waiting, set(), None
        for run in waiting:
            run.go()
            if run.is_left:
                self.end(run, "completed", {})


def _identity(error: object) -> tuple[int, str]:
    # The text too: the address alone may be that of a later exception.
    return id(error), text_of(error)


def _flags(progress: Mapping[str, object]) -> dict[str, bool]:
    approval = progress.get("awaiting_user_approval", progress.get("awaiting_user_input"))
    return {"is_processing": bool(progress.get("is_processing")), "awaiting_user_approval": bool(approval)}
