"""Sum up events as deltas, one per flow: the smallest document that, joined to a row, has their effect."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha1
from operator import itemgetter
from typing import assert_never
from uuid import UUID

from pydantic import JsonValue

from masterflow.domain.clock import to_microseconds
from masterflow.domain.events import (
    LOST_KEY,
    PROGRESS_KEY,
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ControlRequested,
    CountedEvent,
    DeadlinePassed,
    ErrorOccurred,
    FlowDeclared,
    FlowLost,
    FlowRetried,
    FlowSeen,
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
from masterflow.domain.statuses import FINAL_STATUSES
from masterflow.repository.merge import entries
from masterflow.repository.merge.entries import JsonObject

#: Entries a list column holds.
MAX_ENTRIES = 100

# Of a stamp: its time. Of a mark: its part that tells ids apart.
_TIME_CHARS = 16
_MARK_DIGITS = 12

#: What names a row: the flow and its tenant.
Key = tuple[UUID, UUID, UUID]


@dataclass(slots=True)
class MapDelta:
    """What newly stands under some keys of a map column, and since when."""

    values: JsonObject = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)

    def put(self, updates: JsonObject, stamp: str) -> None:
        """Let these keys hold these values from now on; stamps come in order."""
        self.values.update(updates)
        self.stamps.update(dict.fromkeys(updates, stamp))


@dataclass(slots=True)
class StatusDelta:
    """The status events that matter: the newest, the final ones, the newest failure and reopening."""

    latest: tuple[str, str] | None = None
    finals: list[tuple[str, str]] = field(default_factory=list)
    failed: str | None = None
    reopened: str | None = None


@dataclass(slots=True)
class Delta:
    """The effect of events on one flow; the attributes are the columns of `delta` in merge_deltas.sql."""

    flow_id: UUID
    client_account_id: UUID
    engagement_id: UUID
    transitions: list[JsonObject] = field(default_factory=list)
    errors: list[JsonObject] = field(default_factory=list)
    collaborations: list[JsonObject] = field(default_factory=list)
    times: dict[str, JsonObject] = field(default_factory=dict)
    counted: dict[str, dict[str, list[JsonValue]]] = field(default_factory=dict)
    usage: dict[str, list[JsonValue]] = field(default_factory=dict)
    memory: MapDelta = field(default_factory=MapDelta)
    agents: MapDelta = field(default_factory=MapDelta)
    metadata: MapDelta = field(default_factory=MapDelta)
    control: list[JsonObject] = field(default_factory=list)
    overdue: list[JsonObject] = field(default_factory=list)
    newest: str | None = None
    started: tuple[str, str] | None = None
    status: StatusDelta = field(default_factory=StatusDelta)

    @property
    def key(self) -> Key:
        """Return what names the row: the flow and its tenant."""
        return (self.flow_id, self.client_account_id, self.engagement_id)

    def add(self, event: AnyEvent, stamp: str) -> None:  # noqa: C901, PLR0915 - one case per kind
        """Take one more event in, with its stamp, in whose order events come."""
        if not isinstance(event, FlowLost | DeadlinePassed | ControlRequested):
            self.newest = stamp  # The others are not the flow's own words.
        match event:
            case PhaseTransitioned():
                self.transitions.append(entries.transition(event))
                if event.status == "processing":
                    self.started = (stamp, event.phase)
            case PhaseTimed():
                self._time(event)
                self._count(event, stamp)
            case AgentCollaborated():
                self.collaborations.append(event.entry | entries.entry_of(event))
            case ErrorOccurred():
                self.errors.append(entries.error(event))
            case MemoryMeasured():
                self.memory.put(event.metrics, stamp)
            case AgentPerformanceMeasured():
                self.agents.put(event.metrics, stamp)
            case MetadataUpdated():
                self.metadata.put(event.updates, stamp)
            case ProgressReported():
                self.metadata.put({PROGRESS_KEY: event.snapshot}, stamp)
            case FlowRetried():
                self._count(event, stamp)
                self.status.reopened = stamp
            case StatusChanged():
                self._change_status(event, stamp)
            case UsageReported():
                self._use(event, stamp)
            case FlowLost():
                self.metadata.put({LOST_KEY: entries.lost(event)}, stamp)
            case DeadlinePassed():
                self.overdue.append(entries.deadline(event))
            case ControlRequested() | QuestionAsked() | QuestionSettled():
                self.control.append(entries.control(event))
            case FlowSeen():
                pass  # That it came is all it says.
            case FlowDeclared():
                pass  # Its row was made before; this finds out whether it is of the same tenant.
            case _:
                assert_never(event)

    def _time(self, event: PhaseTimed) -> None:
        """Keep the newest time of each phase, and of two at once the longer."""
        time: JsonObject = {"execution_time_ms": event.execution_time_ms, "completed_at": event.timestamp}
        known = self.times.get(event.phase)
        if known is None or _order(time) > _order(known):
            self.times[event.phase] = time

    def _count(self, event: CountedEvent, stamp: str) -> None:
        lists = self.counted.setdefault(event.count_of(event), {})
        if event.counted:
            item: list[JsonValue] = [event.counted.by, event.counted.number, stamp[:_TIME_CHARS]]
            lists.setdefault("numbered", []).append(item)
        else:
            lists.setdefault("marked", []).append([*marks_of(event), stamp[:_TIME_CHARS]])

    def _use(self, event: UsageReported, stamp: str) -> None:
        counted = event.counted
        for name, total in (("", counted.flow), (event.name_of(event), counted.agent)):
            item: list[JsonValue] = [
                counted.by,
                list(total),
                list(total.minus(event.used)),
                stamp[:_TIME_CHARS],
            ]
            self.usage.setdefault(name, []).append(item)

    def _change_status(self, event: StatusChanged, stamp: str) -> None:
        self.metadata.put(event.row_metadata, stamp)
        if event.status in FINAL_STATUSES:
            self.status.finals.append((stamp, event.status))
        elif event.status == "failed":
            self.status.failed = stamp
        else:
            self.status.latest = (stamp, event.status)
            if event.reopens:
                self.status.reopened = stamp

    def document(self) -> JsonObject:
        """Return the delta as JSON; what did not change is null."""
        document: JsonObject = {
            "flow_id": str(self.flow_id),
            "client_account_id": str(self.client_account_id),
            "engagement_id": str(self.engagement_id),
        }
        for name in ("transitions", "errors", "collaborations"):
            if listed := getattr(self, name):
                document[name] = listed[-MAX_ENTRIES:]
        for name in ("times", "counted", "usage", "control", "overdue", "newest", "started"):
            if value := getattr(self, name):
                document[name] = value
        for name in ("memory", "agents", "metadata"):
            change: MapDelta = getattr(self, name)
            if change.stamps:
                document[name] = {"values": change.values, "stamps": dict(change.stamps)}
        status = {name: value for name in StatusDelta.__slots__ if (value := getattr(self.status, name))}
        if status:
            document["status"] = status
        return document


def sum_up(events: Iterable[AnyEvent]) -> list[Delta]:
    """Return one delta per flow and tenant; an event that comes twice counts once."""
    deltas: dict[Key, Delta] = {}
    # A question that a restarted process asks again has the same id, at another time.
    unique = {
        (event.event_id, event.occurred_at if isinstance(event, QuestionAsked) else None): event
        for event in events
    }
    for stamp, event in sorted(((event.stamp, event) for event in unique.values()), key=itemgetter(0)):
        key = (event.flow_id, event.client_account_id, event.engagement_id)
        if key not in deltas:
            deltas[key] = Delta(*key)
        deltas[key].add(event, stamp)
    return list(deltas.values())


def _order(time: JsonObject) -> tuple[str, float]:
    return time["completed_at"], time["execution_time_ms"]  # type: ignore[return-value]  # as made above


def marks_of(event: CountedEvent) -> tuple[str, str]:
    """Return what an event without a number is counted by, and how an earlier version's row may know it.

    A mark is 8 hex digits of seconds and 12 of a hash of the id. It was the id's own last 12, which all
    ids of one machine share if they are of version 1 or 6, so of these the seconds must fit too.
    """
    seconds = min(max(to_microseconds(event.occurred_at) // 1_000_000, 0), 0xFFFFFFFF)
    id_end = event.event_id.hex[-_MARK_DIGITS:]
    digest = sha1(event.event_id.bytes, usedforsecurity=False).hexdigest()[:_MARK_DIGITS]
    is_of_a_machine = event.event_id.version in (1, 6)
    return f"{seconds:08x}{digest}", f"{seconds:08x}{id_end}" if is_of_a_machine else id_end
