"""What one flow is doing right now, and the report that each change of it makes."""

import asyncio
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.events import (
    ControlRequested,
    ErrorOccurred,
    Event,
    FlowRetried,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from masterflow.domain.ids import flow_uuid
from masterflow.domain.interruptions import is_interruption, pass_interruption
from masterflow.domain.records.phase_text import Moment
from masterflow.domain.records.phases import PhaseBegan, PhaseEnded, PhaseRecord
from masterflow.domain.statuses import FINAL_STATUSES, FlowStatus
from masterflow.tracker.attempts import Attempt, Ending, ErrorMark
from masterflow.tracker.control.registry import control_registry
from masterflow.tracker.control.requests import FlowStopped, Message
from masterflow.tracker.life.hold import Hold
from masterflow.tracker.phase_progress import PhaseProgress
from masterflow.tracker.report import note_repeated_end, refuse, report
from masterflow.tracker.summaries import causes_of, describe_error, is_task_control, outcome_of, text_of
from masterflow.tracker.traces import trace_here
from masterflow.tracker.waits.deadlines import deadline_after, deadline_facts
from masterflow.tracker.waits.waiting import WaitingFlow

_ENDED: Final = FINAL_STATUSES | {"failed"}

#: The phase of an error that happens before the flow has entered any.
_NO_PHASE: Final = "flow"

# Names of phases may be made up without end; an error of one so long ago is no retry any more.
_MOST_FAILED_PHASES: Final = 1_000


class FlowRecord(WaitingFlow):
    """The state of one flow as this process knows it; threads and tasks may share it.

    There is no lock: each change is one operation on a set or an attribute, and what a race could
    add (a status reported twice) changes nothing in the row. Open
    attempts are copied before one looks at them, which nothing can interrupt: `tuple()` of a set lets the
    garbage collector in, and with it a forgotten phase that ends.
    """

    def __init__(
        self, flow_id: UUID | str | int, context: FlowContext, progress: PhaseProgress | None = None
    ) -> None:
        super().__init__()
        self.flow_id = _row_id(flow_id)
        self.context = context
        #: What people want of the flow; its other trackers in this process share it.
        self.control = control_registry.control_of(context, self.flow_id)
        self.status: FlowStatus = "initialized"
        self.phase: str | None = None
        self.progress = progress or PhaseProgress()
        self.message = ""
        #: When the flow becomes overdue.
        self.deadline_at: datetime | None = None
        self._open: set[Attempt] = set()
        self.hold = Hold(self.flow_id, context, self._open)
        # The newest error of each phase, and its moment; a phase that is entered again forgets its own.
        self._failed: dict[str, tuple[ErrorMark, int]] = {}
        self._moments = itertools.count(1)
        self._why: Mapping[str, object] = {}
        # Another process may have brought the flow further: what this one does not know, it does not report.
        self._reported_status: str = "initialized"

    def enter(
        self, status: FlowStatus, message: str = "", *, why: Mapping[str, object] | None = None
    ) -> None:
        """Note the flow's status, for the next snapshot to report with `why`; nothing leaves a final one."""
        if self.status in FINAL_STATUSES:
            return
        if status == "cancelled" and (stop := self.control.stop) is not None:
            why, message = stop.row_metadata, message or str(stop)
        self.status, self.message, self._why = status, message, why or {}
        self.control.is_over = status in FINAL_STATUSES

    def begin(
        self,
        phase: str,
        *,
        message: str = "",
        ending: Ending = "name",
        has_snapshot: bool = True,
        deadline_s: float | None = None,
    ) -> Attempt:
        """Open an attempt of a phase; after an error in that phase it is a retry of the flow.

        Without a snapshot, its caller reports one of its own.

        Raises:
            InputInvalid: the phase has no name.
        """
        if not isinstance(phase, str) or not phase.strip():
            raise InputInvalid(f"{phase!r:.80} is no phase; pass its name.")
        if ending == "name" and (former := self.find(phase)):
            self._open.discard(former)
        self._end_wait_if_over()
        self._count_retry(phase)
        if self.status == "initialized":
            self.enter("processing")
        self.phase, self.message = phase, message
        here = self._attempts_here()
        attempt = Attempt(
            phase, flow=self, ending=ending, parent=here[-1] if here else None, moment=next(self._moments)
        )
        attempt.deadline_at = deadline_after(deadline_s)
        self._open.add(attempt)
        try:
            self.hold.phase = phase
            self.hold.review(self.status)
            self.progress.start(phase)
            facts = deadline_facts(attempt.deadline_at)
            if has_snapshot:
                self._tell_moment(PhaseBegan, phase, facts)
            else:
                self.transition(phase, "processing", {**({"message": message} if message else {}), **facts})
        except BaseException as error:
            # A time limit, say: whoever opens the attempt will never come to end it.
            if is_interruption(error):
                attempt.end(error=error)
            raise
        return attempt

    def end(
        self, attempt: Attempt, status: str, facts: Mapping[str, object], *, has_snapshot: bool = False
    ) -> None:
        """Close an attempt, never the flow; one that was closed before changes nothing.

        What was not cancelled is timed. A hook's block that is left while it waits for a human stays
        paused until the answer comes. Without a snapshot, its caller reports one of its own.
        """
        if status == "completed" and attempt.is_scoped and attempt in self._waiting:
            attempt.is_left = True
            if has_snapshot:
                self.persist(self.progress_event("paused", phase=attempt.phase))
            return
        try:
            self._open.remove(attempt)
        except KeyError:
            note_repeated_end(attempt.phase)
            return
        attempt.stop()
        elapsed_ms = attempt.elapsed_ms
        self.progress.end(attempt.phase, status)
        facts = {**attempt.facts, **facts}
        if has_snapshot:
            self._tell_moment(PhaseEnded, attempt.phase, facts, status=status, execution_time_ms=elapsed_ms)
        else:
            self.transition(attempt.phase, status, {"execution_time_ms": elapsed_ms, **facts})
            if status != "cancelled":
                self.tell(PhaseTimed, phase=attempt.phase, execution_time_ms=elapsed_ms)
        self.hold.review(self.status)

    def end_named(
        self, phase: str, status: str, facts: Mapping[str, object], *, has_snapshot: bool = False
    ) -> None:
        """Close the attempt that `begin` opened for this phase; without one its time is not known."""
        if attempt := self.find(phase):
            self.end(attempt, status, facts, has_snapshot=has_snapshot)
            return
        self.progress.end(phase, status)
        if has_snapshot:
            self._tell_moment(PhaseEnded, phase, facts, status=status)
        else:
            self.transition(phase, status, facts)

    def end_attempt(
        self,
        attempt: Attempt,
        status: str | None,
        error: BaseException | str | None,
        facts: Mapping[str, object],
    ) -> None:
        """Close an attempt for whoever holds it: its error, its transition and a snapshot are reported."""
        outcome, about_error = outcome_of(error)
        try:
            if outcome == "failed" and attempt in self._open:
                self.note_raised(error, attempt=attempt)
            self.end(attempt, status or outcome, {**about_error, **facts}, has_snapshot=True)
        except Exception as problem:  # noqa: BLE001  nor may it hide what the body raised
            pass_interruption(problem)
            refuse(problem, may_raise=error is None)

    def find(self, phase: str | None) -> Attempt | None:
        """Return the open attempt of a phase that ends by its name, if there is one."""
        open_attempts = self._open.copy()
        return next((one for one in open_attempts if one.phase == phase and one.ending == "name"), None)

    def note_error(
        self, error: object, *, phase: str | None = None, attempt: Attempt | None = None, **details: object
    ) -> None:
        """Report an error, each time it is called."""
        here = self._attempts_here()
        inside = attempt or (here[-1] if here else None)
        phase = phase or (inside.phase if inside else self.phase) or _NO_PHASE
        if len(self._failed) >= _MOST_FAILED_PHASES:
            self._failed.clear()
        for cause in causes_of(error):
            mark = _mark(cause)
            self._failed[phase] = (mark, next(self._moments))
            if inside:
                inside.remember(mark)
        self.message = text_of(error)
        self.tell(
            ErrorOccurred,
            phase=phase,
            error=self.message,
            details={**describe_error(error), **details, **trace_here()},
        )

    def note_raised(self, error: object, *, attempt: Attempt | None = None) -> None:
        """Report an error that passes by, unless it was reported where it came from."""
        if all(self._knows(_mark(cause), attempt) for cause in causes_of(error)):
            self.message = text_of(error)
        else:
            self.note_error(error, attempt=attempt)

    def has_told(self, error: object) -> bool:
        """Return whether an error was reported, and no phase of it was entered again since."""
        return all(self._knows(_mark(cause), None) for cause in causes_of(error))

    def request_stop(self, by: str, reason: str) -> None:
        """Ask the flow to stop, in its row as well, unless somebody has."""
        if self.control.is_over or self.control.stop is not None:
            return
        request_id, at = uuid4(), datetime.now(UTC)
        self.control.take(Message(request_id, "cancel", by, at, reason))
        self.tell(ControlRequested, event_id=request_id, action="cancel", by=by, reason=reason)

    def complete(self) -> None:
        """Let the flow be done."""
        self.progress.set(100)
        self.enter("completed")

    def fail(self, error: object) -> None:
        """Let the flow be failed, and its phase with it; cancelled, if somebody asked it to stop."""
        if self.is_stopped_by(error):
            if attempt := self.find(self.phase):
                self.end(attempt, "cancelled", {})
            self.enter("cancelled")
            return
        self.note_raised(error)
        if attempt := self.find(self.phase):
            self.end(attempt, "failed", {})
        self.enter("failed", self.message)

    def leave(self, error: BaseException) -> None:
        """End the flow by what its code raised, unless it has ended, or Celery runs it again."""
        if self.status in _ENDED or is_task_control(error):
            return
        if isinstance(error, Exception):
            self.fail(error)
        elif self.is_waiting:
            return
        elif isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
            self.enter("cancelled", "The flow was cancelled.")
        else:
            self.enter("paused", f"The flow was stopped by {type(error).__name__}.")
        self.persist(self.progress_event(self.status))

    def is_stopped_by(self, error: object) -> bool:
        """Return whether this is what somebody's request to stop this flow was answered by."""
        return all(isinstance(one, FlowStopped) and one.flow_id == self.flow_id for one in causes_of(error))

    def progress_event(self, phase_status: str, *, phase: str | None = None) -> dict[str, object]:
        """Return the snapshot of now.

        Each fact stands under the two names that readers of the row look for; `status` is the
        phase's, `workflow_status` the flow's. A progress that nobody knows is left out.
        """
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        progress = self.progress
        percent = progress.percent([one.phase for one in self._open.copy()] if progress.goes_by_ends else ())
        return {
            "phase": phase or self.phase_here,
            "current_phase": self.phase,
            **({} if percent is None else {"progress": percent, "progress_percentage": percent}),
            "status": phase_status,
            **self._status_facts(),
            "message": self.message,
            "status_message": self.message,
            "timestamp": now,
            "last_updated": now,
        }

    def _status_facts(self) -> dict[str, object]:
        if self.status == "initialized":
            return {}
        return {
            "workflow_status": self.status,
            "is_processing": self.status == "processing",
            "awaiting_user_input": self.is_waiting,
            "awaiting_user_approval": self.status == "waiting_for_approval",
        }

    def persist(self, progress: Mapping[str, object]) -> None:
        """Report a snapshot, and before it the flow's status if that has changed."""
        self._tell_status(progress)
        self.tell(ProgressReported, snapshot=progress)

    def _tell_status(self, progress: Mapping[str, object]) -> None:
        status = progress.get("workflow_status", self._reported_status)
        if status != self._reported_status:
            self._reported_status = str(status)
            self.tell(StatusChanged, status=status, metadata={**_flags(progress), **self._why})
            self.hold.review(self.status)

    def _tell_moment(
        self, kind: type[PhaseRecord], phase: str, facts: Mapping[str, object], **how: object
    ) -> None:
        """Report in one record what a phase did, the flow's status if that has changed, and a snapshot."""
        status = None if self.status == "initialized" else self.status
        is_new = status is not None and status != self._reported_status
        if is_new and self._why:
            self._tell_status(self._status_facts())
            is_new = False
        elif is_new:
            self._reported_status = self.status
        percent = self.progress.percent([attempt.phase for attempt in self._open.copy()])
        moment = Moment(status, is_new, self.phase, percent, self.message)
        if trace := trace_here():
            facts = {**facts, **trace}
        self.tell(kind, phase=phase, metadata=facts, moment=moment, **how)
        if is_new:
            self.hold.review(self.status)

    def transition(self, phase: str, status: str, facts: Mapping[str, object]) -> None:
        """Report that a phase entered a status."""
        self.tell(PhaseTransitioned, phase=phase, status=status, metadata={**facts, **trace_here()})

    def tell(self, kind: type[Event], **fields: object) -> None:
        """Report something that happened to this flow just now."""
        report(kind, self.context, self.flow_id, **fields)

    def _knows(self, mark: ErrorMark, attempt: Attempt | None) -> bool:
        """Return whether an error was reported inside an attempt, or of the flow at all.

        Who holds an attempt ends it for code that may have run anywhere, so there the errors since its
        beginning count.
        """
        if attempt is None:
            return any(mark == known for known, _ in tuple(self._failed.values()))
        if mark in attempt.reported_errors or attempt.is_scoped:
            return mark in attempt.reported_errors
        return (mark, True) in [(known, at > attempt.moment) for known, at in tuple(self._failed.values())]

    def _count_retry(self, phase: str) -> None:
        if self._failed.pop(phase, None) is None:
            return
        self.tell(FlowRetried)
        # A phase that only goes on beside the failed one must not bring the flow back; a retry does.
        if self.status == "failed":
            self.reopen()


def _row_id(flow_id: UUID | str | int) -> UUID | str:
    try:
        return flow_uuid(flow_id)
    except InputInvalid:
        # Each report with it will be refused, with the reason.
        return flow_id if isinstance(flow_id, str) else ""


def _mark(error: object) -> ErrorMark:
    return id(error), text_of(error)


def _flags(progress: Mapping[str, object]) -> dict[str, bool]:
    approval = progress.get("awaiting_user_approval", progress.get("awaiting_user_input"))
    return {"is_processing": bool(progress.get("is_processing")), "awaiting_user_approval": bool(approval)}
