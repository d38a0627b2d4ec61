"""Sum up events as deltas, one per flow: the smallest document that, joined to a row, has their effect."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import assert_never
from uuid import UUID

from pydantic import JsonValue

from masterflow.domain.events import (
    PROGRESS_KEY,
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ErrorOccurred,
    FlowDeclared,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from masterflow.domain.statuses import FINAL_STATUSES

#: Entries a list column holds.
MAX_ENTRIES = 100

JsonObject = dict[str, JsonValue]


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
    """The status events that matter: the newest, the first final one, the newest failure and reopening."""

    latest: tuple[str, str] | None = None
    final: tuple[str, str] | None = None
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
    timings: list[JsonObject] = field(default_factory=list)
    memory: MapDelta = field(default_factory=MapDelta)
    agents: MapDelta = field(default_factory=MapDelta)
    metadata: MapDelta = field(default_factory=MapDelta)
    retries: list[str] = field(default_factory=list)
    started: tuple[str, str] | None = None
    status: StatusDelta = field(default_factory=StatusDelta)

    @property
    def key(self) -> tuple[UUID, UUID, UUID]:
        """Return what names the row: the flow and its tenant."""
        return (self.flow_id, self.client_account_id, self.engagement_id)

    def add(self, event: AnyEvent, stamp: str) -> None:  # noqa: C901 - one case per kind
        """Take one more event in, with its stamp, in whose order events come."""
        match event:
            case PhaseTransitioned():
                self.transitions.append(_transition(event))
                if event.status == "processing":
                    self.started = (stamp, event.phase)
            case PhaseTimed():
                self.timings.append(_timing(event))
            case AgentCollaborated():
                self.collaborations.append(event.entry | _entry(event))
            case ErrorOccurred():
                self.errors.append(
                    _entry(event) | {"phase": event.phase, "error": event.error, "details": event.details}
                )
            case MemoryMeasured():
                self.memory.put(event.metrics, stamp)
            case AgentPerformanceMeasured():
                self.agents.put(event.metrics, stamp)
            case MetadataUpdated():
                self.metadata.put(event.updates, stamp)
            case ProgressReported():
                self.metadata.put({PROGRESS_KEY: event.snapshot}, stamp)
            case FlowRetried():
                self.retries.append(event.mark)
                self.status.reopened = stamp
            case StatusChanged():
                self._change_status(event, stamp)
            case FlowDeclared():
                pass  # Its row was made before; this finds out whether it is of the same tenant.
            case _:
                assert_never(event)

    def _change_status(self, event: StatusChanged, stamp: str) -> None:
        self.metadata.put(event.row_metadata, stamp)
        if event.status in FINAL_STATUSES:
            self.status.final = self.status.final or (stamp, event.status)
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
            if entries := getattr(self, name):
                document[name] = entries[-MAX_ENTRIES:]
        for name in ("timings", "retries", "started"):
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
    deltas: dict[tuple[UUID, UUID, UUID], Delta] = {}
    unique = {event.event_id: event for event in events}
    for stamp, event in sorted(((event.stamp, event) for event in unique.values()), key=itemgetter(0)):
        key = (event.flow_id, event.client_account_id, event.engagement_id)
        if key not in deltas:
            deltas[key] = Delta(*key)
        deltas[key].add(event, stamp)
    return list(deltas.values())


def _entry(event: AnyEvent) -> JsonObject:
    return {"id": str(event.event_id), "timestamp": event.timestamp}


def _transition(event: PhaseTransitioned) -> JsonObject:
    return _entry(event) | {"phase": event.phase, "status": event.status, "metadata": event.metadata}


def _timing(event: PhaseTimed) -> JsonObject:
    return {
        "mark": event.mark,
        "phase": event.phase,
        "execution_time_ms": event.execution_time_ms,
        "completed_at": event.timestamp,
    }
