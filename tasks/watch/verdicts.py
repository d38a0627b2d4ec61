"""What follows from a round: flows that are lost, seen again, late, failed, or brought back."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

from masterflow.domain import FlowContext
from masterflow.domain.clock import from_microseconds, parse_time
from masterflow.domain.events import (
    AnyEvent,
    DeadlinePassed,
    ErrorOccurred,
    FlowLost,
    FlowSeen,
    StatusChanged,
    new_event,
)
from masterflow.domain.events.life import deadline_id
from masterflow.domain.json_shapes import as_map
from masterflow.domain.life.deaths import lost_event
from masterflow.domain.life.signs import Held
from masterflow.domain.liveness import OPEN_STATUSES
from masterflow.tasks.settings import TypeDeadlines
from masterflow.tasks.watch.rounds import Holder, Round

#: The key of `flow_metadata` that says that the watch has failed a flow, and when it was last heard of.
FAILED_KEY: Final = "failed_as_lost"

_NAMESPACE: Final = UUID("0b0a2c5e-1c3f-5d8e-8f53-6f2e3c6c9d10")
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000
_NO_PHASE: Final = "flow"


def lost_by_silence(seen: Round, holder: Holder, rows: Mapping[UUID, Mapping[str, Any]]) -> list[FlowLost]:
    """Return the flows that a process that was silent for too long leaves alone, by what their rows say."""
    sign = holder.sign
    if sign is None:
        return []
    return [
        lost_event(
            held.flow,
            cause="silent",
            holder=holder.sender_id,
            moment=max(sign.moment, _newest_us(rows[flow_id])),
            phase=held.phase,
        )
        for flow_id, held in holder.held.items()
        if (row := rows.get(flow_id)) is not None
        and row["client_account_id"] == held.flow.context.client_account_id
        and row["flow_status"] in OPEN_STATUSES
        and not row["is_lost"]
        and seen.living(flow_id, row["client_account_id"]) is None
    ]


def seen_again(seen: Round, rows: Mapping[UUID, Mapping[str, Any]]) -> list[AnyEvent]:
    """Return the flows that a living process holds although their rows call them lost, or failed for that."""
    events: list[AnyEvent] = []
    for flow_id, row in rows.items():
        holder = seen.living(flow_id, row["client_account_id"])
        if holder is None or holder.sign is None:
            continue
        # By the clock of that process, of whose last moment the row may have heard later than of this sign.
        at = from_microseconds(holder.sign.moment)
        if row["is_lost"] and at > _last_sign(row):
            events.append(
                new_event(
                    FlowSeen,
                    holder.held[flow_id].flow.context,
                    flow_id,
                    event_id=uuid5(_NAMESPACE, f"{flow_id}:{holder.sender_id}:{holder.sign.moment}"),
                    occurred_at=at,
                    holder=holder.sender_id,
                )
            )
        elif _is_failed_as_lost(row) and at > _last_sign(row):
            events.append(_reopened(holder.held[flow_id].flow.context, flow_id, at))
    return events


def late(seen: Round, deadlines: Mapping[str, TypeDeadlines]) -> list[DeadlinePassed]:
    """Return the deadlines that flows have passed, by the clocks of the processes that hold them."""
    return [
        event
        for holder in seen.holders
        if holder.sign is not None
        for held in holder.held.values()
        for event in _late(held, deadlines, holder.sign.moment)
    ]


def failed(row: Mapping[str, Any], after_s: float) -> list[AnyEvent]:
    """Return what lets a flow that is lost for so long be failed: just behind what made it lost."""
    lost = as_map(row["lost"])
    context, flow_id = _context(row), row["flow_id"]
    at = _last_sign(row) + 2 * _MICROSECOND
    why = (
        f"The flow was lost: {_CAUSES.get(str(lost.get('cause')), 'its process is gone')}"
        f" on {lost.get('host')}, and nothing was heard of it for {after_s:g} s"
        " (ENRICHMENT_FAIL_LOST_AFTER_S)."
    )
    phase = str(lost.get("phase") or row["current_phase"] or _NO_PHASE)
    error = new_event(
        ErrorOccurred, context, flow_id, event_id=_id(flow_id, "error", at), occurred_at=at, phase=phase,
        error=why, details={"cause": lost.get("cause"), "holder": lost.get("holder")},
    )  # fmt: skip
    status = new_event(
        StatusChanged, context, flow_id, event_id=_id(flow_id, "failed", at), occurred_at=at + _MICROSECOND,
        status="failed", metadata={FAILED_KEY: {"last_sign_at": lost.get("last_sign_at")}},
    )  # fmt: skip
    return [error, status]


def brought_back(row: Mapping[str, Any]) -> StatusChanged:
    """Return what brings a flow back that was failed as lost and has reported since."""
    return _reopened(_context(row), row["flow_id"], from_microseconds(_newest_us(row)))


_CAUSES: Final = {
    "witnessed": "its process was found dead",
    "goodbye": "its process ended with the flow open",
    "silent": "its process fell silent",
}


def _reopened(context: FlowContext, flow_id: UUID, at: datetime) -> StatusChanged:
    return new_event(
        StatusChanged, context, flow_id, event_id=_id(flow_id, "back", at), occurred_at=at + _MICROSECOND,
        status="processing", reopens=True, metadata={FAILED_KEY: None},
    )  # fmt: skip


def _late(held: Held, deadlines: Mapping[str, TypeDeadlines], now: int) -> Iterable[DeadlinePassed]:
    limits = deadlines.get(held.flow.flow_type or "", TypeDeadlines())
    flow_deadline = _deadline(held.flow_deadline_at, held.flow.since, limits.flow)
    if flow_deadline is not None and now > flow_deadline:
        yield _passed(held, None, flow_deadline, held.flow.since)
    for phase, one in held.phases.items():
        deadline = _deadline(one.deadline_at, one.since, limits.phases.get(phase))
        if deadline is not None and now > deadline:
            yield _passed(held, phase, deadline, one.since)


def _deadline(own: int | None, since: int, limit_s: float | None) -> int | None:
    """Return the deadline that the flow's own code set, else the one of the settings."""
    return own if own is not None or limit_s is None else since + int(limit_s * _SECOND)


def _passed(held: Held, phase: str | None, deadline: int, since: int) -> DeadlinePassed:
    at = from_microseconds(deadline)
    return new_event(
        DeadlinePassed, held.flow.context, held.flow.flow_id,
        event_id=deadline_id(held.flow.flow_id, phase, at), occurred_at=at,
        phase=phase, deadline_at=at, started_at=from_microseconds(since),
    )  # fmt: skip


def _is_failed_as_lost(row: Mapping[str, Any]) -> bool:
    return row["flow_status"] == "failed" and isinstance(row["failed_as_lost"], dict)


def _newest_us(row: Mapping[str, Any]) -> int:
    digits = str(row["newest"] or "")[:16]
    return int(digits) if digits.isdecimal() else 0


def _last_sign(row: Mapping[str, Any]) -> datetime:
    return parse_time(as_map(row["lost"]).get("last_sign_at")) or from_microseconds(0)


def _context(row: Mapping[str, Any]) -> FlowContext:
    return FlowContext(
        client_account_id=row["client_account_id"],
        engagement_id=row["engagement_id"],
        user_id=row["user_id"],
    )


def _id(flow_id: UUID, what: str, at: datetime) -> UUID:
    return uuid5(_NAMESPACE, f"{flow_id}:{what}:{at.isoformat()}")
