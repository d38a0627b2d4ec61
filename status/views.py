"""What the API answers with, and how rows become that; whatever a row holds, nothing here raises."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from masterflow.domain.clock import from_microseconds
from masterflow.domain.flow_types.progress import progress_of
from masterflow.domain.json_shapes import as_map, number_of
from masterflow.domain.phases import phase_order
from masterflow.status import examples
from masterflow.status.timeline import Bar, dated_entries, phase_states

_MESSAGE_CHARS: Final = 300
_MOST_PHASES: Final = 256


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
    #: The newest status of each phase that was told, oldest first.
    phases: dict[str, str]
    retry_count: int
    user_id: str
    engagement_id: UUID
    created_at: datetime | None
    updated_at: datetime | None


class FlowList(BaseModel):
    """One page of the list; it goes on with `?cursor=` as long as there is a `next_cursor`."""

    model_config = _shown(examples.PAGE)

    flows: list[FlowSummary]
    next_cursor: str | None = None


class PhaseView(BaseModel):
    """What is known of one phase."""

    phase: str
    status: str | None
    execution_time_ms: float | None = None
    attempts: int | None = None
    completed_at: str | None = None


class Approval(BaseModel):
    """Somebody has to say yes before the flow goes on."""

    phase: str | None
    message: str | None
    since: datetime | None


class ChildStatus(BaseModel):
    """The child row in a few words, never its documents."""

    model_config = ConfigDict(from_attributes=True)

    status: str
    current_phase: str | None
    #: 0 to 100, or null if nothing tells on which scale it is.
    progress_percentage: float | None
    #: Of `phases`, by its columns; null where it has none, or where its versions disagree.
    completed_phases: int | None
    phases: int | None = None
    error_phase: str | None = None
    discovered_assets: int | None
    updated_at: datetime | None
    completed_at: datetime | None = None


class FlowStatus(FlowSummary):
    """One flow's summary with its phases, its newest snapshot, and how much more there is to read."""

    model_config = _shown(examples.STATUS)

    phase_details: list[PhaseView]
    last_progress_update: dict[str, JsonValue] | None
    transition_count: int
    error_count: int
    collaboration_count: int
    waiting_for_approval: Approval | None
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
    transitions: list[dict[str, JsonValue]]


class Errors(BaseModel):
    """The newest errors of a flow, newest first."""

    model_config = _shown(examples.ERRORS)

    flow_id: UUID
    retry_count: int
    errors: list[dict[str, JsonValue]]


class Activity(BaseModel):
    """What agents did, newest first, and what was measured."""

    model_config = _shown(examples.ACTIVITY)

    flow_id: UUID
    collaborations: list[dict[str, JsonValue]]
    agent_performance_metrics: dict[str, JsonValue]
    memory_usage_metrics: dict[str, JsonValue]


def summary_of(row: Mapping[Any, Any]) -> FlowSummary:
    """Return the summary that a row of list_flows.sql or of the reads like it stands for."""
    return FlowSummary(**_summary_fields(row))


def status_of(row: Mapping[Any, Any], child: Mapping[Any, Any] | None) -> FlowStatus:
    """Return the view that a row of read_status.sql stands for."""
    # From the column itself: other programs write it too, and know nothing of our index of it.
    summary = _summary_fields({**row, "transitions": row["listed"]})
    approval = None
    if summary["status"] == "waiting_for_approval":
        approval = Approval(
            phase=summary["current_phase"], message=summary["message"], since=summary["status_since"]
        )
    if child and summary["progress_note"] is None:
        summary["progress_note"] = _note(summary["progress_percentage"], child["progress_percentage"])
    return FlowStatus(
        **summary,
        phase_details=phase_views(row["times"], summary["phases"], summary["flow_type"]),
        last_progress_update=as_map(row["snapshot"]) or None,
        transition_count=row["transition_count"],
        error_count=row["error_count"],
        collaboration_count=row["collaboration_count"],
        waiting_for_approval=approval,
        child_flow_status=ChildStatus.model_validate(dict(child)) if child else None,
    )


def phase_views(times: object, states: Mapping[str, str], flow_type: str = "discovery") -> list[PhaseView]:
    """Return the phases that have a time or a status, in the order of such flows, then as reported."""
    timed = as_map(times)
    reported = dict.fromkeys([*states, *timed])
    names = sorted(reported, key=lambda name: phase_order(name, flow_type))[:_MOST_PHASES]
    return [_phase_view(name, states.get(name), timed.get(name)) for name in names]


def bar_views(bars: Iterable[Bar]) -> list[BarView]:
    """Return bars as the API shows them."""
    return [BarView.model_validate(bar) for bar in bars]


def newest_first(entries: object) -> list[dict[str, JsonValue]]:
    """Return the entries of a list column, newest first."""
    return dated_entries(entries)[::-1]


def _summary_fields(row: Mapping[Any, Any]) -> dict[str, Any]:
    snapshot = as_map(row["snapshot"])
    status, phase = str(row["flow_status"]), row["current_phase"]
    progress, note = progress_of(row["flow_type"], status=status, phase=phase, snapshot=snapshot)
    message = snapshot.get("message") or snapshot.get("status_message")
    return {
        "flow_id": row["flow_id"],
        "flow_type": row["flow_type"],
        "flow_name": row["flow_name"],
        "status": status,
        "status_since": _status_since(row["status_stamps"], status),
        "current_phase": phase,
        "progress_percentage": progress,
        "progress_note": note,
        "message": str(message)[:_MESSAGE_CHARS] if message else None,
        "phases": phase_states(row["transitions"]),
        "retry_count": row["retry_count"],
        "user_id": row["user_id"],
        "engagement_id": row["engagement_id"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _note(progress: float | None, of_child: float | None) -> str | None:
    if progress is None or of_child is None or round(progress) == round(of_child):
        return None
    return f"Its child row says {of_child:g} %."


def _phase_view(name: str, status: str | None, time: object) -> PhaseView:
    found = as_map(time)
    return PhaseView(
        phase=name,
        status=status or ("completed" if found else None),
        execution_time_ms=number_of(found.get("execution_time_ms")),
        attempts=_attempts(found.get("attempts")) if found else None,
        completed_at=_text(found.get("completed_at") or found.get("recorded_at")),
    )


def _attempts(value: object) -> int:
    """Return how often a phase was seen to run: of a backfilled time 0, of one without a count 1."""
    counted = number_of(value)
    return 1 if counted is None else int(counted)


def _status_since(stamps: object, status: str) -> datetime | None:
    """Return when a status began, from the merge's stamps: 16 digits of microseconds, then an id."""
    found = as_map(stamps)
    pairs = [
        pair
        for pair in (found.get("latest"), found.get("final"))
        if isinstance(pair, list) and len(pair) == 2
    ]
    times = [pair[0] for pair in pairs if pair[1] == status]
    if status == "failed":
        times.append(found.get("failed"))
    elif status == "processing":
        times.append(found.get("reopened"))
    digits = [text[:16] for text in times if isinstance(text, str) and text[:16].isdigit()]
    return from_microseconds(int(max(digits))) if digits else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
