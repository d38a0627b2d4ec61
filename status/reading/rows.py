"""How rows become what the API answers with; whatever a row holds, nothing here raises."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from masterflow.domain.clock import from_microseconds
from masterflow.domain.fleet.facts import ENDED
from masterflow.domain.flow_types.progress import progress_of
from masterflow.domain.json_shapes import as_list, as_map, number_of
from masterflow.domain.liveness import Liveness
from masterflow.domain.phases import phase_order
from masterflow.domain.records.status_times import status_since_us
from masterflow.repository.redis.holders import Holder
from masterflow.repository.redis.skipped import SkippedEvents
from masterflow.repository.values import known_time
from masterflow.status import floors
from masterflow.status.control.views import possible_actions, question_views, request_views
from masterflow.status.entry_texts import entry_text
from masterflow.status.summary.children import child_view, progress_note
from masterflow.status.summary.life import life_of, overdue_of
from masterflow.status.timeline import Bar, bars_of, is_over, phase_states, timed_attempts
from masterflow.status.usage import is_over_budget, usage_of
from masterflow.status.views import Approval, BarView, FlowStatus, FlowSummary, PhaseView

_logger = logging.getLogger(__name__)

_MESSAGE_CHARS: Final = 300
_MOST_PHASES: Final = 256
_PHASE_CHARS: Final = 100


def summary_of(
    row: Mapping[Any, Any],
    skipped: SkippedEvents | None = None,
    holders: Sequence[Holder] | None = None,
) -> FlowSummary:
    """Return the summary that a row of list_flows.sql or of the reads like it stands for.

    A row that nobody thought of fails alone: it is shown by its id, and says so.
    """
    try:
        return FlowSummary(**_summary_fields(row, skipped, holders))
    except Exception:
        _logger.exception("The row of flow %s cannot be read.", row["flow_id"])
        return FlowSummary(**_summary_fields({**row, **_UNREADABLE}, skipped, None))


def status_of(
    row: Mapping[Any, Any],
    child: Mapping[Any, Any] | None,
    skipped: SkippedEvents | None = None,
    *,
    holders: Sequence[Holder] | None = None,
    liveness: Liveness | None = None,
) -> FlowStatus:
    """Return the view that a row of read_status.sql stands for."""
    entries = as_list(row["entries"])
    summary = _summary_fields(row, skipped, holders)
    bars = bars_of(
        entries, is_over=is_over(summary["status"]), over_at=summary["updated_at"], times=row["times"]
    )
    counts = (
        (floors.TRANSITIONS, len(entries)),
        (floors.ERRORS, row["error_count"]),
        (floors.COLLABORATIONS, row["collaboration_count"]),
    )
    summary["at_least"] += floors.full_lists(counts)
    if floors.TRANSITIONS in summary["at_least"]:
        uncounted = {bar.phase for bar in bars if not timed_attempts(as_map(row["times"]).get(bar.phase))}
        summary["at_least"] += sorted(map(floors.attempts_name, uncounted))
    approval = None
    if summary["status"] == "waiting_for_approval":
        approval = Approval(
            phase=summary["current_phase"], message=summary["message"], since=summary["status_since"]
        )
    child_status = child_view(child) if child else None
    if child_status and summary["progress_note"] is None:
        summary["progress_note"] = progress_note(summary["progress_percentage"], child_status)
    return FlowStatus(
        **(summary | dict(counts)),
        phase_details=phase_views(row["times"], summary["phases"], summary["flow_type"], bars=bars),
        last_progress_update=as_map(row["snapshot"]) or None,
        usage=usage_of(row),
        waiting_for_approval=approval,
        overdue=overdue_of(row),
        requests=request_views(row),
        questions=question_views(row),
        possible_actions=possible_actions(row, liveness),
        child_flow_status=child_status,
    )


def phase_views(
    times: object, states: Mapping[str, str], flow_type: str = "discovery", *, bars: Iterable[Bar] = ()
) -> list[PhaseView]:
    """Return the phases that have a time or a status, in the order of such flows, then as told."""
    timed = {name[:_PHASE_CHARS]: time for name, time in as_map(times).items()}
    # Those whose transitions are gone are older than all others.
    gone = sorted(timed.keys() - states.keys(), key=lambda name: _ended_at(timed[name]) or "")
    attempts = {bar.phase: bar.attempt for bar in bars}
    return [
        _phase_view(name, states.get(name), timed.get(name), attempts.get(name))
        for name in _in_order([*gone, *states], flow_type)[:_MOST_PHASES]
    ]


#: What stands for the parts of a row that others may have written in any shape.
_UNREADABLE: Final[dict[str, Any]] = {
    "snapshot": {"message": "This row cannot be read; the log of the status API says why."},
    "current_phase": None,
    "phases": [],
    "statuses": [],
    "status_stamps": {},
    "floors": [],
    "usage": None,
    "budget": None,
    "is_lost": False,
    "lost": None,
    "is_overdue": False,
}


def bar_views(bars: Iterable[Bar]) -> list[BarView]:
    """Return bars as the API shows them."""
    return [BarView.model_validate(bar) for bar in bars]


def _summary_fields(
    row: Mapping[Any, Any], skipped: SkippedEvents | None, holders: Sequence[Holder] | None
) -> dict[str, Any]:
    snapshot = as_map(row["snapshot"])
    status, phase = str(row["flow_status"]), row["current_phase"]
    progress, note = progress_of(row["flow_type"], status=status, phase=phase, snapshot=snapshot)
    message = snapshot.get("message") or snapshot.get("status_message")
    states = phase_states(row["phases"], row["statuses"])
    return {
        **dict(life_of(row, holders)),
        "flow_id": row["flow_id"],
        "flow_type": row["flow_type"],
        "flow_name": row["flow_name"],
        "status": status,
        "status_since": _status_since(row["status_stamps"], status),
        "current_phase": phase,
        "progress_percentage": progress,
        "progress_note": note,
        "message": entry_text(message)[:_MESSAGE_CHARS] or None,
        "phases": {name: states[name] for name in _in_order(states, row["flow_type"])},
        "retry_count": row["retry_count"],
        "error_count": row["error_count"],
        "duration_s": _duration_s(row, status),
        "cost_usd": number_of(as_map(row["usage"]).get("cost_usd")),
        "is_over_budget": is_over_budget(row),
        "user_id": row["user_id"],
        "engagement_id": row["engagement_id"],
        "created_at": known_time(row["created_at"]),
        "updated_at": known_time(row["updated_at"]),
        "skipped_events": skipped.count if skipped else None,
        "at_least": floors.floors_of(row["floors"])
        + ([floors.SKIPPED] if skipped and skipped.is_floor else []),
    }


def _duration_s(row: Mapping[Any, Any], status: str) -> float | None:
    """Return how long a flow lasted that has ended."""
    began, ended = known_time(row["created_at"]), known_time(row["updated_at"])
    if status not in ENDED or began is None:
        return None
    ended = _status_since(row["status_stamps"], status) or ended
    return None if ended is None else max(0.0, (ended - began).total_seconds())


def _in_order(names: Iterable[str], flow_type: str) -> list[str]:
    return sorted(dict.fromkeys(names), key=lambda name: phase_order(name, flow_type))


def _phase_view(name: str, status: str | None, time: object, attempts: int | None) -> PhaseView:
    found = as_map(time)
    return PhaseView(
        phase=name,
        status=status or ("completed" if found else None),
        execution_time_ms=number_of(found.get("execution_time_ms")),
        attempts=timed_attempts(time) if attempts is None and found else attempts,
        completed_at=_ended_at(found),
    )


def _ended_at(time: object) -> str | None:
    found = as_map(time)
    at = found.get("completed_at") or found.get("recorded_at")
    return at if isinstance(at, str) else None


def _status_since(stamps: object, status: str) -> datetime | None:
    since_us = status_since_us(stamps, status)
    return None if since_us is None else from_microseconds(since_us)
