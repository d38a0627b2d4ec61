"""What API, page and terminal tell of a fleet."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from masterflow.domain.fleet.windows import WindowName
from masterflow.status.usage import UsageFigures

_AT: Final = "2026-11-02T09:00:00Z"
_COUNTS: Final = {"started": 12, "completed": 9, "failed": 1, "cancelled": 0}
_USAGE: Final = {
    "calls": 40,
    "input_tokens": 51200,
    "output_tokens": 8400,
    "cost_usd": 0.0117,
    "unpriced_calls": 0,
    "at_least": False,
}

_EXAMPLE: Final[dict[str, Any]] = {
    "window": {
        "name": "day",
        "since": _AT,
        "as_of": "2026-11-03T09:31:07.120394Z",
        "is_whole": True,
        "counted_since": "2026-09-02T09:00:00Z",
    },
    "now": {
        "by_status": {"processing": 2, "waiting_for_approval": 1},
        "lost": 1,
        "silent": 0,
        "overdue": 0,
        "waiting": 1,
        "longest_waiting_since": _AT,
        "waiting_by_age": [{"at_least_s": 3600, "below_s": 86400, "flows": 1}],
    },
    "started_by_status": {"completed": 9, "failed": 1, "processing": 2},
    "by_type": [{"flow_type": "discovery", "by_status": {"completed": 9, "failed": 1, "processing": 2}}],
    "in_all": _COUNTS,
    "failure_rate": 0.1,
    "over_time": [{"at": _AT, **_COUNTS}],
    "phases": [
        {
            "flow_type": "discovery",
            "phase": "data_import",
            "now": {"count": 9, "p50_ms": 1200.5, "p95_ms": 4100.0, "total_ms": 14200.0},
            "before": {"count": 8, "p50_ms": 1100.0, "p95_ms": 2050.0, "total_ms": 11900.0},
            "p95_change": 2.0,
        }
    ],
    "phase_count": 1,
    "causes": [
        {
            "cause": "TimeoutError: no answer within # s",
            "flows": 3,
            "first_seen_at": "2026-10-11T07:12:00Z",
            "last_seen_at": _AT,
        }
    ],
    "cause_count": 1,
    "usage": {
        "in_all": _USAGE,
        "by_agent": [{"agent": "Schema Expert", "model": "small-model", **_USAGE}],
        "by_model": [{"model": "small-model", **_USAGE}],
        "by_engagement": [{"engagement_id": "0198c4a2-0000-7000-8000-000000000002", **_USAGE}],
    },
}


class WindowView(BaseModel):
    """The time that is told of; it ends now, and begins at the start of a bar."""

    name: WindowName
    since: datetime
    #: Up to when changes are known.
    as_of: datetime
    #: False while rows are being counted: then only flows that began since `counted_since` are told.
    is_whole: bool
    counted_since: datetime


class WaitingAge(BaseModel):
    """How many flows have waited for somebody that long."""

    at_least_s: int
    #: Null for the last one.
    below_s: int | None
    flows: int


class NowView(BaseModel):
    """How it stands with the flows that are open, whenever they began."""

    by_status: dict[str, int]
    #: Nobody works on them any more.
    lost: int
    #: Their processes have given no sign for 15 s; null where Redis does not answer.
    silent: int | None
    overdue: int
    #: As many as the inbox has.
    waiting: int
    longest_waiting_since: datetime | None
    waiting_by_age: list[WaitingAge]


class CountsView(BaseModel):
    """How many flows began, and how many came to which end."""

    started: int
    completed: int
    failed: int
    cancelled: int


class BarCounts(CountsView):
    """What began and ended from a time until the next one."""

    at: datetime


class TypeView(BaseModel):
    """The flows of one type that began in the window, by what has become of them."""

    flow_type: str
    by_status: dict[str, int]


class DurationView(BaseModel):
    """How long a phase took; the quantiles are off by 4.4 % at most."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    total_ms: float


class PhaseDurations(BaseModel):
    """A phase of flows of one type in the window, and in the window before."""

    flow_type: str
    phase: str
    now: DurationView
    before: DurationView
    #: How many times as long as before the slow ones take; null where there is nothing to compare.
    p95_change: float | None


class CauseView(BaseModel):
    """Errors whose texts differ in numbers, ids, times and hosts alone."""

    cause: str
    #: In how many flows it was last seen within the window.
    flows: int
    #: Among all errors that the rows of counted flows still hold.
    first_seen_at: datetime
    last_seen_at: datetime


class AgentUsage(UsageFigures):
    """What an agent used of a model."""

    agent: str
    model: str


class ModelTotal(UsageFigures):
    """What was used of a model."""

    model: str


class EngagementUsage(UsageFigures):
    """What the flows of an engagement used."""

    engagement_id: UUID


class FleetUsage(BaseModel):
    """What the flows that began in the window have used; agents that are not listed make up the rest."""

    in_all: UsageFigures
    by_agent: list[AgentUsage]
    by_model: list[ModelTotal]
    by_engagement: list[EngagementUsage]


class FleetView(BaseModel):
    """What the flows of a fleet do, and did within a window of time."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})

    window: WindowView
    now: NowView
    #: The flows that began in the window, by what has become of them.
    started_by_status: dict[str, int]
    by_type: list[TypeView]
    in_all: CountsView
    #: Of the flows that ended in the window, those that failed; null where none ended.
    failure_rate: float | None
    over_time: list[BarCounts]
    #: The slowest ones by p95.
    phases: list[PhaseDurations]
    phase_count: int
    #: Those in the most flows.
    causes: list[CauseView]
    cause_count: int
    usage: FleetUsage
