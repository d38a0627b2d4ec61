"""One kickoff of a user's flow: its phases, its status, its progress, and the reports that they make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final
from uuid import uuid5

from masterflow.bridges.crewai.fold.causes import Cause, Causes, Outcome
from masterflow.bridges.crewai.fold.reports import Report, Standing, Usage, id_of
from masterflow.bridges.crewai.fold.rules import Rules
from masterflow.bridges.crewai.fold.scopes import Scope
from masterflow.bridges.crewai.records import Record
from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.clock import from_microseconds
from masterflow.domain.counting import Counted
from masterflow.domain.events import (
    ErrorOccurred,
    Event,
    FlowDeclared,
    FlowRetried,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from masterflow.domain.ids import FLOW_NAMESPACE, external_id

#: The phase of an error that no method has.
_NO_PHASE: Final = "flow"

#: While a flow runs, no number of methods that are done says that it is.
_MOST_PERCENT: Final = 99.0

# Of one whose tenant is not known yet.
_MOST_HELD: Final = 5_000

#: What a reader sees of each status.
_FLAGS: Final = ("is_processing", "awaiting_user_input", "awaiting_user_approval")


@dataclass(eq=False, slots=True)
class FlowHistory:
    """What this process knows of a flow over all its kickoffs."""

    #: The name under which this process counts for the flow.
    counter: str
    numbers: dict[str, int] = field(default_factory=dict)
    #: The phases whose newest attempt has failed: starting one again is a retry.
    failed: set[str] = field(default_factory=set)
    #: The phases that are done since the flow was last begun, not resumed.
    done: set[str] = field(default_factory=set)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)

    def count(self, what: str) -> Counted:
        """Return the next number of something that is counted."""
        number = self.numbers[what] = self.numbers.get(what, 0) + 1
        return Counted(by=self.counter, number=number)


def new_history(source: str, flow_id: str) -> FlowHistory:
    """Return an empty history; `source` names the process that captured the records."""
    return FlowHistory(uuid5(FLOW_NAMESPACE, f"{source}:{flow_id}").hex[:22])


class Run:
    """What happens from a kickoff, or a resume, until the flow ends or pauses."""

    def __init__(self, root: Scope, history: FlowHistory, rules: Rules) -> None:
        self.root = root
        self.history = history
        self.rules = rules
        self.flow_id = str(root.record.facts.get("flow_id", ""))
        self.context: FlowContext | None = root.record.context
        self.is_ignored = False
        self.is_over = False
        self.causes = Causes()
        self._counted = rules.counted_of(root.record.facts.get("methods") or ())
        self._open: dict[str, Scope] = {}
        self._phase: str | None = None
        self._status = "processing"
        self._message = ""
        self._news: tuple[Record, str, str | None] | None = None
        self._held: list[Report | Usage] = []

    # -- what happens

    def start(self) -> None:
        """Tell that the flow runs, what it is, and that it may go on after a failure."""
        record, facts = self.root.record, self.root.record.facts
        if not facts.get("resumes"):
            self.history.done.clear()
        if self.rules.create_rows:
            name = facts.get("flow_name")
            self.tell(FlowDeclared, record, flow_type=self.rules.flow_type, flow_name=name)
        kept = {
            name: facts[name] for name in ("flow_name", "inputs", "version", "execution") if facts.get(name)
        }
        self.tell(MetadataUpdated, record, updates={"crewai": kept, **_external(self.flow_id)})
        self._enter("processing", record, reopens=True)
        self._say(record, "processing")

    def begin(self, scope: Scope) -> None:
        """Tell that a phase starts; one whose newest attempt has failed is tried again."""
        phase, record = scope.phase or "", scope.record
        self._open[scope.id] = scope
        self._phase, self._message = phase, ""
        if phase in self.history.failed and not scope.is_resumed:
            self.retry(record)
        self.history.failed.discard(phase)
        self._move(phase, "processing", record, {"is_resumed": True} if scope.is_resumed else {})
        self._say(record, "processing", phase)

    def end(self, scope: Scope, status: str, record: Record, facts: Mapping[str, object]) -> None:
        """Tell that a phase ended, and how long it worked; what was cancelled is not timed."""
        phase = scope.phase or ""
        if self._open.pop(scope.id, None) is None:
            return
        elapsed_ms = scope.elapsed_ms(record.at)
        self._move(phase, status, record, {"execution_time_ms": elapsed_ms, **facts}, after=scope.record)
        if status != "cancelled" and not scope.is_resumed:
            counted = self.history.count(f"attempts:{phase}")
            self.tell(
                PhaseTimed, record, what=f"timed:{scope.id}", after=scope.record,
                phase=phase, execution_time_ms=elapsed_ms, counted=counted,
            )  # fmt: skip
        if status == "completed":
            self.history.done.add(phase)
        if status == "failed":
            self.history.failed.add(phase)
            self._message = str(record.facts.get("error", ""))
        self._say(record, status, phase)

    def wait(self, scope: Scope, record: Record, *, is_approval: bool) -> None:
        """Tell that a phase waits for a human, while its method runs."""
        if scope.waits_since is not None:
            return
        scope.waits_since = record.at
        self._message = str(record.facts.get("message", ""))
        facts = {"message": self._message, "awaiting_approval": is_approval}
        self._move(scope.phase or "", "paused", record, facts)
        self._enter("waiting_for_approval" if is_approval else "paused", record)
        self._say(record, "paused", scope.phase)

    def go_on(self, scope: Scope, record: Record) -> None:
        """Tell that the human has answered."""
        if scope.waits_since is None:
            return
        scope.waited_us += max(0, record.at - scope.waits_since)
        scope.waits_since = None
        self._message = ""
        self._move(scope.phase or "", "processing", record, {"is_resumed": True})
        self._enter("processing", record)
        self._say(record, "processing", scope.phase)

    def finish(self, status: str, record: Record) -> None:
        """Tell that the flow ended or pauses; what is still open then was given up."""
        if self.is_over:
            return
        self.is_over = True
        for cause, outcome in self.causes.end():
            self.note(cause, outcome)
        if status != "completed":
            for scope in list(self._open.values()):
                self.end(scope, "cancelled", record, {})
        self._message = str(record.facts.get("message") or record.facts.get("error") or "")
        self._enter(status, record)
        self._say(record, status, None if status == "completed" else self._phase)

    def retry(self, record: Record) -> None:
        """Tell that something is tried again."""
        self.tell(FlowRetried, record, counted=self.history.count("retries"))

    def note(self, cause: Cause, outcome: Outcome) -> None:
        """Tell of an error, now that its outcome is known."""
        if not cause.is_reported:
            facts = cause.record.facts
            self.tell(
                ErrorOccurred, cause.record,
                phase=cause.phase or _NO_PHASE, error=facts.get("error") or "It said nothing.",
                details={**cause.details, "outcome": outcome},
            )  # fmt: skip

    # -- what is told of it

    def tell(
        self, kind: type[Event], record: Record, *, what: str = "", after: Record | None = None, **fields: Any
    ) -> None:
        """Make a report of a record; nothing ends before it has started, whatever the clock did."""
        at = record.at if after is None else max(record.at, after.at + 1)
        self.hold(Report(kind, self.flow_id, id_of(record.event_id, what or kind.__name__), at, fields))

    def hold(self, report: Report | Usage) -> None:
        """Keep a report until somebody takes it."""
        if not self.is_ignored and len(self._held) < _MOST_HELD:
            self._held.append(report)

    def take(self) -> list[tuple[FlowContext, Report | Usage]]:
        """Return what is to be reported, and of whom; nothing while nobody knows whose flow it is."""
        if self.context is None:
            return []
        if self._news is not None:
            record, status, phase = self._news
            self._news = None
            self.tell(ProgressReported, record, snapshot=self._snapshot(record, status, phase))
        held, self._held = self._held, []
        return [(self.context, one) for one in held]

    def standing(self) -> Standing:
        """Return how it stands now."""
        is_running = self._status == "processing" and not (self.is_over or self.is_ignored)
        phases = {scope.phase or "": scope.record.at for scope in self._open.values()}
        return Standing(
            self.root.id, self.flow_id, self.rules.flow_type, is_running, self.is_over, self._phase, phases
        )

    def ignore(self) -> None:
        """Give up what has no tenant."""
        self.is_ignored, self._held = True, []

    def _move(
        self,
        phase: str,
        status: str,
        record: Record,
        facts: Mapping[str, object],
        after: Record | None = None,
    ) -> None:
        # One record may end many phases: those that were open when their flow was over.
        what = f"{phase}:{status}:{after.event_id if after else ''}"
        self.tell(
            PhaseTransitioned, record, what=what, after=after, phase=phase, status=status, metadata=facts
        )

    def _enter(self, status: str, record: Record, *, reopens: bool = False) -> None:
        self._status = status
        flags = {name: self._flags()[name] for name in ("is_processing", "awaiting_user_approval")}
        self.tell(StatusChanged, record, status=status, reopens=reopens, metadata=flags)

    def _say(self, record: Record, status: str, phase: str | None = None) -> None:
        """Let the next snapshot be of now; of several that nobody has taken, the newest counts."""
        self._news = (record, status, phase)

    def _flags(self) -> dict[str, bool]:
        approval = self._status == "waiting_for_approval"
        values = (self._status == "processing", approval or self._status == "paused", approval)
        return dict(zip(_FLAGS, values, strict=True))

    def _snapshot(self, record: Record, status: str, phase: str | None) -> dict[str, object]:
        now = from_microseconds(record.at).astimezone(UTC).isoformat(timespec="microseconds")
        percent = self._percent()
        return {
            "phase": phase or self._phase,
            "current_phase": self._phase,
            **({} if percent is None else {"progress": percent, "progress_percentage": percent}),
            "status": status,
            "workflow_status": self._status,
            **self._flags(),
            "message": self._message,
            "status_message": self._message,
            "timestamp": now,
            "last_updated": now,
        }

    def _percent(self) -> float | None:
        """Return how many of the counted phases are done: an estimate where a router leaves some out."""
        if self._status == "completed":
            return 100
        if not self._counted:
            return None
        done = sum(phase in self.history.done for phase in self._counted)
        return min(_MOST_PERCENT, round(100 * done / len(self._counted), 1))


def _external(flow_id: str) -> dict[str, str]:
    try:
        return external_id(flow_id)
    except InputInvalid:
        return {}
