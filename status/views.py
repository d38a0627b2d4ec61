"""What the API answers with of flows: summaries, their status, when they ran, what failed, who did what."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from masterflow.domain.liveness import Liveness
from masterflow.status import examples
from masterflow.status.control.views import Button, QuestionView, RequestView
from masterflow.status.summary.causes import ErrorCause
from masterflow.status.summary.children import ChildStatus
from masterflow.status.summary.life import LostView, OverdueView
from masterflow.status.usage import UsageView


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
    #: How many transitions are like what is asked for; these are those of the part that is asked for.
    matching: int = 0


class Errors(BaseModel):
    """The newest errors of a flow, newest first."""

    model_config = _shown(examples.ERRORS)

    flow_id: UUID
    retry_count: int
    error_count: int
    #: Which of the two may be too low; a full list may have lost older errors.
    at_least: list[str] = []
    errors: list[dict[str, JsonValue]]
    #: How many errors are like what is asked for; `errors` is the part of them that is asked for.
    matching: int = 0
    #: All that match, folded by their causes, those with the most errors first.
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
    #: As for errors.
    matching: int = 0
    agent_performance_metrics: dict[str, JsonValue]
    memory_usage_metrics: dict[str, JsonValue]
    #: As for errors.
    trace_url: str | None = None
