"""What the API answers with, and how rows become that; whatever a row holds, nothing here raises."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

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
from masterflow.status import examples, floors
from masterflow.status.control.views import (
    Button,
    QuestionView,
    RequestView,
    possible_actions,
    question_views,
    request_views,
)
from masterflow.status.entry_texts import entry_text
from masterflow.status.summary.causes import ErrorCause
from masterflow.status.summary.children import ChildStatus, child_view, progress_note
from masterflow.status.summary.life import LostView, OverdueView, life_of, overdue_of
from masterflow.status.timeline import (
    Bar,
    bars_of,
    is_over,
    phase_states,
    timed_attempts,
)
from masterflow.status.usage import UsageView, is_over_budget, usage_of

_logger = logging.getLogger(__name__)

_MESSAGE_CHARS: Final = 300
_MOST_PHASES: Final = 256
_PHASE_CHARS: Final = 100


def _shown(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, json_schema_extra={"examples": [example]})


class FlowSummary(BaseModel):
    """What a flow is doing, from the master row's summaries alone."""

    model_config = _shown(examples.SUMMARY)

    flow_id: UUID
    flow_type: str
    flow_name: str | None
    status: str
    #: When it entered that status, if that was told.
    status_since: datetime | None
    current_phase: str | None
    #: 0 to 100, or null if nobody told.
    progress_percentage: float | None
    #: Why that is not what its phases or its child row say.
    progress_note: str | None = None
    message: str | None
    #: The newest status of each phase that was told, in the order of such flows, then as told.
    phases: dict[str, str]
    retry_count: int
    #: Of the errors that are kept.
    error_count: int = 0
    #: From its creation to its end; null while it goes on.
    duration_s: float | None = None
    #: What its agents' calls of models cost, as far as that is known; null if nobody told.
    cost_usd: float | None = None
    #: It used more than its budget; whether that stops it is up to the orchestrator.
    is_over_budget: bool = False
    user_id: str
    engagement_id: UUID
    created_at: datetime | None
    updated_at: datetime | None
    #: Of the processes that hold it: `alive`, `silent` (no sign for 15 s) or `lost`; null where none is known
    #: to, and in event streams, which look at the row alone.
    liveness: Liveness | None = None
    last_sign_at: datetime | None = None
    last_sign_age_s: float | None = None
    lost: LostView | None = None
    #: A phase, or the flow, goes on past its deadline.
    is_overdue: bool = False
    #: Events that are not in the row, as they came while enrichment was off, within 30 days; null where
    #: nobody looked (event streams) or Redis does not answer.
    skipped_events: int | None = None
    #: Which numbers here may be too low, as not all is kept: `retry_count`, `error_count`, `attempts:PHASE`.
    at_least: list[str] = []


class FlowList(BaseModel):
    """One page of the list; it goes on with `?cursor=` as long as there is a `next_cursor`."""

    model_config = _shown(examples.PAGE)

    flows: list[FlowSummary]
    next_cursor: str | None = None
    #: What stands before this page; null on the first one.
    previous_cursor: str | None = None
    #: How many flows were looked at, from the beginning of the list on.
    searched: int = 0
    #: Nothing more is to be found; only then does a list without flows say that there are none.
    complete: bool = True
    #: The flows are sorted among so many of the newest; null where that is all of them.
    sorted_among: int | None = None


class PhaseView(BaseModel):
    """What is known of one phase."""

    phase: str
    status: str | None
    execution_time_ms: float | None = None
    #: One that is running among them; 0 if a backfill found the phase and nobody saw it run.
    attempts: int | None = None
    completed_at: str | None = None


class Approval(BaseModel):
    """Somebody has to say yes before the flow goes on."""

    phase: str | None
    message: str | None
    since: datetime | None


class FlowStatus(FlowSummary):
    """One flow's summary with its phases, its newest snapshot, and how much more there is to read."""

    model_config = _shown(examples.STATUS)

    phase_details: list[PhaseView]
    last_progress_update: dict[str, JsonValue] | None
    transition_count: int
    error_count: int
    collaboration_count: int
    #: What its agents used of models; null if nobody told.
    usage: UsageView | None = None
    waiting_for_approval: Approval | None
    #: What people asked of it, the newest first.
    requests: list[RequestView] = []
    #: What it asked people, the oldest first.
    questions: list[QuestionView] = []
    #: What may be asked of it now, besides answers.
    possible_actions: list[Button] = []
    #: Deadlines that have passed while what they are about goes on, the earliest first.
    overdue: list[OverdueView] = []
    #: Only if asked for.
    child_flow_status: ChildStatus | None = None


class WaitView(BaseModel):
    """A time in which a phase waited for a human."""

    model_config = ConfigDict(from_attributes=True)

    started_at: datetime
    ended_at: datetime | None
    for_approval: bool


class BarView(BaseModel):
    """One attempt of a phase; it still runs if it has no end."""

    model_config = ConfigDict(from_attributes=True)

    phase: str
    attempt: int
    status: str
    started_at: datetime
    ended_at: datetime | None
    execution_time_ms: float | None
    message: str
    waits: list[WaitView]


class Timeline(BaseModel):
    """The phases of a flow as bars, and the transitions they were made from, oldest first."""

    model_config = _shown(examples.TIMELINE)

    flow_id: UUID
    bars: list[BarView]
    transition_count: int
    #: `transition_count`, if older ones are not kept: then a phase that is not among them has one bar.
    at_least: list[str] = []
    transitions: list[dict[str, JsonValue]]


class Errors(BaseModel):
    """The newest errors of a flow, newest first."""

    model_config = _shown(examples.ERRORS)

    flow_id: UUID
    retry_count: int
    error_count: int
    #: Which of the two may be too low; a full list may have lost older errors.
    at_least: list[str] = []
    errors: list[dict[str, JsonValue]]
    #: The same folded by their causes, those with the most errors first.
    causes: list[ErrorCause] = []
    #: Where the trace of an entry is looked at, with {trace_id} in it; null if nobody said it.
    trace_url: str | None = None


class Activity(BaseModel):
    """What agents did, newest first, and what was measured."""

    model_config = _shown(examples.ACTIVITY)

    flow_id: UUID
    collaboration_count: int
    #: `collaboration_count`, if older ones are not kept.
    at_least: list[str] = []
    collaborations: list[dict[str, JsonValue]]
    agent_performance_metrics: dict[str, JsonValue]
    memory_usage_metrics: dict[str, JsonValue]
    #: As for errors.
    trace_url: str | None = None


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
