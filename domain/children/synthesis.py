"""Events out of evidence: what the master row should have been told, and was not.

The timestamp of a synthesised entry is only its place in the list: before everything that was ever
reported. When it happened stands under `time`, as a time or as "unknown". See docs/adr/0006.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha1
from typing import Any, Final
from uuid import UUID

from masterflow.domain.children.evidence import Evidence
from masterflow.domain.clock import clock, from_microseconds, to_microseconds
from masterflow.domain.events import (
    PROGRESS_KEY,
    AnyEvent,
    ErrorOccurred,
    MetadataUpdated,
    PhaseTransitioned,
    StatusChanged,
    new_event,
)
from masterflow.domain.flow_types.specification import FlowSpec
from masterflow.domain.statuses import ACTIVE_STATUSES
from masterflow.domain.tenant import FlowContext

SOURCE: Final = "backfill"
SNAPSHOT_KEY: Final = "progress_snapshot"

# Any UUID will do, so long as it stays the same.
_EVENT_IDS: Final = UUID("2e6a2f0e-5c0b-4d2c-9a53-6b1f3a2d7c41").bytes

# Fifty years: snapshots keep the order of their child's versions, and stay older than any report.
_SNAPSHOT_SHIFT_US: Final = 50 * 365 * 86_400 * 1_000_000

# Copied for each event, which takes a fifth of the time of making one.
_OWN_KINDS: Final[tuple[type[Any], ...]] = (PhaseTransitioned, MetadataUpdated)
_BLANKS: Final[dict[type[AnyEvent], AnyEvent]] = {kind: kind.model_construct() for kind in _OWN_KINDS}

_ALL: Final = 100
_UNKNOWN: Final = "unknown"
_RANKS: Final = {"processing": 0, "failed": 1, "completed": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What stands in a master row; phases by whatever name they were reported."""

    flow_id: UUID
    context: FlowContext
    flow_status: str
    current_phase: str | None = None
    live_phases: frozenset[str] = frozenset()
    live_error_phases: frozenset[str] = frozenset()
    timed_phases: frozenset[str] = frozenset()
    #: Ids of entries that were synthesised before.
    synthesised: frozenset[str] = frozenset()
    #: Of the keys of `flow_metadata` that a backfill writes: their stamps, "" where one has none, and what
    #: of them a backfill wrote.
    stamps: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill would add to one master row."""

    standing: Standing
    version: str
    events: tuple[AnyEvent, ...]
    #: What is set under keys of `phase_execution_times` that hold nothing yet.
    times: dict[str, dict[str, Any]]
    #: Entries of earlier backfills that the child proves no longer, by id.
    withdrawn: tuple[str, ...] = ()
    #: The last known phase, for rows in which nobody reported one; empty if none is known.
    current_phase: str = ""

    @property
    def is_needed(self) -> bool:
        """Return whether the row would say anything else than it does."""
        return bool(self.events or self.times or self.withdrawn)

    @property
    def is_repair(self) -> bool:
        """Return whether more than evidence is added."""
        return any(isinstance(event, StatusChanged) for event in self.events)

    def summary(self) -> list[str]:
        """Return in a word each what would be added: `"data_import:completed"`, `"data_import timed"`."""
        added = [_in_a_word(event) for event in self.events] + [f"{phase} timed" for phase in self.times]
        return [*added, f"{len(self.withdrawn)} withdrawn"] if self.withdrawn else added


def plan_backfill(evidence: Evidence, standing: Standing, *, repair_status: bool = False) -> Plan:
    """Return what the master row lacks of what its child proves; pure, but for the time of a repair."""
    events = [
        *_transitions(evidence, standing),
        *_errors(evidence, standing),
        *_snapshots(evidence, standing),
    ]
    if repair_status and evidence.is_finished and standing.flow_status in ACTIVE_STATUSES:
        events.append(_completion(evidence, standing))
    known = standing.synthesised
    claimed = {str(event.event_id) for event in events} | _kept(evidence, standing)
    return Plan(
        standing,
        evidence.version,
        tuple(event for event in events if str(event.event_id) not in known),
        _times(evidence, standing),
        tuple(sorted(known - claimed)),
        evidence.current[0] if evidence.current else "",
    )


def _kept(evidence: Evidence, standing: Standing) -> set[str]:
    """Return the ids of entries that stay, though a live one of their phase has made them needless."""
    stated = [f"{phase} completed" for phase in evidence.completed]
    errors = [f"{error.phase} error {error.text}" for error in evidence.errors]
    failed = [f"{evidence.failed[0]} failed"] if evidence.failed else []
    is_running = evidence.current and _is_running(evidence, standing)
    running = [f"{evidence.current[0]} processing"] if evidence.current and is_running else []
    return {str(_event_id(standing, what)) for what in (*stated, *errors, *failed, *running)}


def _transitions(evidence: Evidence, standing: Standing) -> Iterator[AnyEvent]:
    live = _canonical(evidence.spec, standing.live_phases)
    stated = {(phase, "completed"): proof for phase, proof in evidence.completed.items()}
    if evidence.failed:
        stated[evidence.failed[0], "failed"] = evidence.failed[1]
    if evidence.current and _is_running(evidence, standing):
        stated[evidence.current[0], "processing"] = evidence.current[1]
    ends = {time.phase: time.ended_at for time in evidence.times}
    for (phase, status), proof in stated.items():
        if phase not in live:
            at = ends.get(phase) if status == "completed" else None
            fields = {"phase": phase, "status": status, "metadata": _origin(proof, at)}
            place = _place(evidence.spec, phase, status)
            yield _made(PhaseTransitioned, standing, f"{phase} {status}", place, **fields)


def _is_running(evidence: Evidence, standing: Standing) -> bool:
    """Return whether the current phase is not over, and the row does not name another one unprompted."""
    if evidence.current is None or evidence.is_finished or evidence.status == "cancelled":
        return False
    phase = evidence.current[0]
    is_over = phase in evidence.completed or evidence.spec.starts_at.get(phase) == _ALL
    return not is_over and standing.current_phase in (None, phase)


def _errors(evidence: Evidence, standing: Standing) -> Iterator[AnyEvent]:
    live = _canonical(evidence.spec, standing.live_error_phases)
    for error in evidence.errors:
        if error.phase not in live:
            yield new_event(
                ErrorOccurred,
                standing.context,
                standing.flow_id,
                event_id=_event_id(standing, f"{error.phase} error {error.text}"),
                occurred_at=error.at or _place(evidence.spec, error.phase, "failed"),
                phase=error.phase,
                error=error.text,
                details={**error.details, **_origin(error.evidence, error.at)},
            )


def _snapshots(evidence: Evidence, standing: Standing) -> Iterator[AnyEvent]:
    """Yield one event of the snapshot, and of the newest progress unless somebody reported one."""
    if evidence.is_empty and not standing.snapshots:
        return
    written_us = to_microseconds(evidence.as_of) if evidence.as_of else 0
    at_us = max(1, written_us - _SNAPSHOT_SHIFT_US)
    updates = {SNAPSHOT_KEY: _snapshot(evidence), PROGRESS_KEY: _progress(evidence)}
    stale = {}
    for key, update in updates.items():
        own, stamp = standing.snapshots.get(key), standing.stamps.get(key)
        if own and own != update and str(own.get("as_of") or "") <= (update["as_of"] or ""):
            # Of the same time, but not the same: the child was written by someone who leaves its time alone.
            at_us = max(at_us, _microseconds(stamp) + 1)
            stale[key] = update
        elif own is None and (stamp is None or (key == SNAPSHOT_KEY and stamp < f"{at_us:016}")):
            stale[key] = update
    if stale:
        what = f"snapshot {evidence.as_of and evidence.as_of.isoformat()} {at_us}"
        yield _made(MetadataUpdated, standing, what, from_microseconds(at_us), updates=stale)


def _in_iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="microseconds") if at else None


def _microseconds(stamp: str | None) -> int:
    digits = (stamp or "")[:16]
    return int(digits) if digits.isdigit() else 0


def _snapshot(evidence: Evidence) -> dict[str, Any]:
    return {
        "current_phase": evidence.current[0] if evidence.current else None,
        "completed_phases": list(evidence.completed),
        "progress_percentage": evidence.percentage,
        "counts": evidence.counts,
        "child_status": evidence.word,
        "as_of": _in_iso(evidence.as_of),
        "source": SOURCE,
        **({"contradictions": evidence.contradictions} if evidence.contradictions else {}),
        **({"unread": evidence.unread} if evidence.unread else {}),
        "evidence": {
            **evidence.completed,
            **({"current_phase": evidence.current[1]} if evidence.current else {}),
            **({"progress_percentage": evidence.progress[1]} if evidence.progress else {}),
        },
    }


def _progress(evidence: Evidence) -> dict[str, Any]:
    phase = evidence.current[0] if evidence.current else None
    status = "completed" if phase in evidence.completed or evidence.is_finished else "processing"
    if evidence.status in {"failed", "cancelled"} and not evidence.is_finished:
        status = evidence.status
    return {
        "phase": phase,
        "current_phase": phase,
        "progress": evidence.percentage,
        "progress_percentage": evidence.percentage,
        "status": "failed" if evidence.failed and evidence.failed[0] == phase else status,
        "as_of": _in_iso(evidence.as_of),
        **_origin(_proof_of_progress(evidence), None),
    }


def _proof_of_progress(evidence: Evidence) -> str:
    if evidence.current:
        return evidence.current[1]
    return evidence.progress[1] if evidence.progress else "status"


def _times(evidence: Evidence, standing: Standing) -> dict[str, dict[str, Any]]:
    """Return times as they stand in the row: no attempt was counted, and any live time takes their place."""
    timed = _canonical(evidence.spec, standing.timed_phases)
    return {
        time.phase: {
            "execution_time_ms": time.milliseconds,
            "attempts": 0,
            "time": time.ended_at.isoformat(timespec="microseconds"),
            "source": SOURCE,
            "evidence": time.evidence,
        }
        for time in evidence.times
        if time.phase not in timed
    }


def _completion(evidence: Evidence, standing: Standing) -> AnyEvent:
    """Return the event that raises the status; it happens now, so that a final report of before wins."""
    return new_event(
        StatusChanged,
        standing.context,
        standing.flow_id,
        event_id=_event_id(standing, "flow completed"),
        occurred_at=clock.tick(standing.flow_id),
        status="completed",
        metadata={"status_repair": _origin("child proves the flow finished", evidence.as_of)},
    )


def _in_a_word(event: AnyEvent) -> str:
    match event:
        case PhaseTransitioned():
            return f"{event.phase}:{event.status}"
        case ErrorOccurred():
            return f"{event.phase} error"
        case _:
            return event.kind


def _origin(proof: str, at: datetime | None) -> dict[str, str]:
    return {"source": SOURCE, "evidence": proof, "time": _in_iso(at) or _UNKNOWN}


def _event_id(standing: Standing, what: str) -> UUID:
    # As uuid5 does it, in half the time.
    name = f"{standing.flow_id} {what}".encode()
    return UUID(bytes=sha1(_EVENT_IDS + name, usedforsecurity=False).digest()[:16], version=5)


def _made(kind: type[AnyEvent], standing: Standing, what: str, at: datetime, **fields: Any) -> AnyEvent:
    """Return an event of our own words and numbers; validating them would take most of the time."""
    context = standing.context
    return _BLANKS[kind].model_copy(
        update={
            "event_id": _event_id(standing, what),
            "flow_id": standing.flow_id,
            "client_account_id": context.client_account_id,
            "engagement_id": context.engagement_id,
            "user_id": context.user_id,
            "occurred_at": at,
            **fields,
        }
    )


def _place(spec: FlowSpec, phase: str, status: str) -> datetime:
    """Return where an entry without a time stands: in canonical order, in the first millisecond of 1970."""
    return from_microseconds(10 * spec.place(phase) + _RANKS[status])


def _canonical(spec: FlowSpec, names: frozenset[str]) -> frozenset[str]:
    return frozenset(spec.name(name) for name in names)
