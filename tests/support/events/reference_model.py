"""What a row shows after events, by the sentences of the design and docs/adr/0001: slow, without SQL.

It starts from any row: columns by name as Python holds JSON, SQL_NULL for NULL, and what the
bookkeeping under `flow_metadata._enrichment` says.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from masterflow.domain.events import (
    PROGRESS_KEY,
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ControlRequested,
    CountedEvent,
    DeadlinePassed,
    ErrorOccurred,
    FlowLost,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
    UsageReported,
)
from masterflow.repository.merge import entries
from tests.support.model.bookkeeping import Bookkeeping
from tests.support.model.control import Entries, places_of
from tests.support.model.counts import Count, Marks, window_of
from tests.support.model.jsonb import SQL_NULL
from tests.support.model.lists import listing_of, merged_list
from tests.support.model.maps import Map
from tests.support.model.statuses import Status, status_after
from tests.support.model.times import merged_times
from tests.support.model.usage import Usages

Row = dict[str, Any]

_LISTS: dict[str, type[Any]] = {
    "phase_transitions": PhaseTransitioned,
    "error_history": ErrorOccurred,
    "agent_collaboration_log": AgentCollaborated,
}
_MAPS: dict[str, tuple[type[Any], ...]] = {
    "memory_usage_metrics": (MemoryMeasured,),
    "agent_performance_metrics": (AgentPerformanceMeasured,),
    "flow_metadata": (MetadataUpdated, ProgressReported, StatusChanged, FlowLost),
}
_MOST_RETRIES = 2**31 - 1


def row_after(before: Row, events: Iterable[AnyEvent]) -> Row:
    """Return the row once all of these events are in it."""
    row: Row = _copied(before)
    unique = {event.event_id: event for event in events}
    in_order = sorted(unique.values(), key=lambda event: (event.occurred_at, event.event_id.hex))
    if in_order:
        _Merge(row).take(in_order)
    return row


def _copied(value: Any) -> Any:
    """Return JSON anew, in a tenth of the time that `deepcopy` takes."""
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


class _Merge:
    """A row that is merged into: each part sets its columns, and what it knows for the next time."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._book = Bookkeeping(row)
        self._metadata = self._book.metadata

    def take(self, events: Sequence[AnyEvent]) -> None:
        self._merge_lists(events)
        self._note_newest(events)
        self._merge_maps(events, self._merge_control(events))
        self._merge_counts(events)
        self._merge_usage(events)
        self._follow_phase(events)
        self._follow_status(events)
        self._row["flow_metadata"] = self._metadata | {"_enrichment": self._book.kept()}

    def _stored(self, column: str, kind: type[Any]) -> Any:
        """Return what stands in a column; what has another type is set aside, NULL is empty."""
        found = self._row[column]
        if isinstance(found, kind):
            return found
        if found is not SQL_NULL and found is not None:
            self._book.set_aside(column, found)
        return kind()

    def _merge_lists(self, events: Sequence[AnyEvent]) -> None:
        for column, kind in _LISTS.items():
            fresh = [_entry(event) for event in events if isinstance(event, kind)]
            if not fresh:
                continue
            stored = self._stored(column, list)
            merged = merged_list(stored, fresh)
            self._book.note_sorted(column)
            if merged != stored:
                self._row[column] = merged
                if column == "phase_transitions":
                    self._metadata["phase_transitions"] = listing_of(merged)

    def _note_newest(self, events: Sequence[AnyEvent]) -> None:
        own = [
            event for event in events if not isinstance(event, FlowLost | DeadlinePassed | ControlRequested)
        ]
        if own:
            self._book.note_newest(own[-1].stamp)

    def _merge_control(self, events: Sequence[AnyEvent]) -> list[Entries]:
        lists = {name: Entries(name, self._metadata.get(name)) for name in ("control", "overdue")}
        asked = [
            entries.control(event)
            for event in events
            if isinstance(event, ControlRequested | QuestionAsked | QuestionSettled)
        ]
        passed = [entries.deadline(event) for event in events if isinstance(event, DeadlinePassed)]
        for name, fresh in (("control", asked), ("overdue", passed)):
            if fresh:
                lists[name].add(fresh)
        for name, found in lists.items():
            if found.displaced:
                self._book.set_aside(f"flow_metadata.{name}", self._metadata[name])
        self._control = {name: found.bounded() for name, found in lists.items() if found.is_changed}
        return list(lists.values())

    def _merge_maps(self, events: Sequence[AnyEvent], lists: list[Entries]) -> None:
        for column, kinds in _MAPS.items():
            told = [(event, _updates(event)) for event in events if isinstance(event, kinds)]
            makes_room = column == "flow_metadata" and self._control
            if not any(updates for _, updates in told) and not makes_room:
                continue
            stored = self._metadata if column == "flow_metadata" else self._stored(column, dict)
            document = Map(column, stored, self._book.stamps_of(column))
            for event, updates in told:
                document.put(updates, event.stamp, since=self._book.since)
            document.bound(places=places_of(lists) if column == "flow_metadata" else 0)
            if column == "flow_metadata":
                self._note_lost(stored, document.stamps)
                self._metadata = document.document | self._control
            self._book.note_stamps(column, document.stamps)
            if column != "flow_metadata" and document.is_changed:
                self._row[column] = document.document

    def _note_lost(self, stored: dict[str, Any], stamps: dict[str, str]) -> None:
        is_first = "lost" in stamps and "lost" not in self._book.stamps_of("flow_metadata")
        if is_first and stored.get("lost") is not None:
            self._book.set_aside("flow_metadata.lost", stored["lost"])

    def _merge_counts(self, events: Sequence[AnyEvent]) -> None:
        timed = [event for event in events if isinstance(event, PhaseTimed)]
        times = self._stored("phase_execution_times", dict) if timed else {}
        shown = {phase: _attempts(time) for phase, time in times.items()}
        counts = {f"attempts:{event.phase}": shown.get(event.phase, 0) for event in timed}
        if any(isinstance(event, FlowRetried) for event in events):
            counts["retries"] = self._row["retry_count"]
        counted = {name: Count(total, self._book.count_of(name)) for name, total in counts.items()}
        for event in events:
            if isinstance(event, CountedEvent):
                window = window_of(event)
                marks = Marks(self._book.marks_of(window))
                counted[event.count_of(event)].add(event, marks, since=self._book.since)
                self._book.note_marks(window, marks.bounded())
        for name, count in counted.items():
            count.bound()
            self._book.note_count(name, count.kept())
        if "retries" in counted:
            self._row["retry_count"] = min(counted["retries"].total, _MOST_RETRIES)
        if timed:
            attempts = {name.removeprefix("attempts:"): count.total for name, count in counted.items()}
            merged, evicted = merged_times(times, timed, attempts)
            self._book.forget_counts(evicted)
            if merged != times:
                self._row["phase_execution_times"] = merged

    def _merge_usage(self, events: Sequence[AnyEvent]) -> None:
        used = [event for event in events if isinstance(event, UsageReported)]
        if not used:
            return
        column = self._stored("agent_performance_metrics", dict)
        usages = Usages(column.get("usage"), self._metadata.get("usage"), self._book.usage)
        before, flow_before = dict(usages.agents), dict(usages.flow)
        usages.take(used, since=self._book.since)
        self._book.usage = usages.kept
        if usages.flow != flow_before:
            self._metadata["usage"] = usages.flow
        if usages.agents != before:
            self._row["agent_performance_metrics"] = column | {"usage": usages.agents}

    def _follow_phase(self, events: Sequence[AnyEvent]) -> None:
        started = [
            event for event in events if isinstance(event, PhaseTransitioned) and event.status == "processing"
        ]
        if started and started[-1].stamp > (self._book.phase or self._book.since):
            self._book.phase = started[-1].stamp
            persistence = self._stored("flow_persistence_data", dict)
            self._row["flow_persistence_data"] = persistence | {"current_phase": started[-1].phase}

    def _follow_status(self, events: Sequence[AnyEvent]) -> None:
        book = self._book
        known = Status(self._row["flow_status"], book.status, changed=book.changed, since=book.since)
        status = status_after(known, events)
        book.status = status.kept()
        self._row["flow_status"] = status.shown


def _entry(event: AnyEvent) -> dict[str, Any]:
    entry = {"id": str(event.event_id), "timestamp": event.timestamp}
    match event:
        case PhaseTransitioned():
            return entry | {"phase": event.phase, "status": event.status, "metadata": event.metadata}
        case ErrorOccurred():
            return entry | {"phase": event.phase, "error": event.error, "details": event.details}
        case AgentCollaborated():
            return event.entry | entry
    raise AssertionError(event)


def _updates(event: AnyEvent) -> dict[str, Any]:
    match event:
        case MemoryMeasured() | AgentPerformanceMeasured():
            return event.metrics
        case MetadataUpdated():
            return event.updates
        case ProgressReported():
            return {PROGRESS_KEY: event.snapshot}
        case StatusChanged():
            return event.row_metadata
        case FlowLost():
            return {"lost": entries.lost(event)}
    raise AssertionError(event)


def _attempts(time: Any) -> Any:
    """Return how often a phase was timed: once, if what stands there says nothing of it."""
    attempts = time.get("attempts") if isinstance(time, dict) else 1
    return 1 if attempts is None or isinstance(attempts, bool | str | list | dict) else attempts
