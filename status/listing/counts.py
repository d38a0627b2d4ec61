"""How many flows each choice of a filter would find, how these stand, and what failed in them."""

from collections import Counter
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.status.flow_counts import FoundCounts, Standing
from masterflow.repository.status.wanted import FlowFilter

#: So many causes are told, those of the most flows.
MOST_CAUSES: Final = 20

_EXAMPLE: Final[dict[str, Any]] = {
    "flows": 12,
    "by_status": {"processing": 2, "completed": 9, "failed": 1},
    "by_type": {"discovery": 12},
    "lost": 1,
    "silent": 0,
    "overdue": 1,
    "waiting": 0,
    "causes": [{"cause": "no answer within # s", "flows": 3}],
    "searched": 12,
    "at_least": False,
    "causes_at_least": False,
}


class CauseCount(BaseModel):
    """A cause of errors, and how many of the flows have it."""

    cause: str
    flows: int


class FlowCounts(BaseModel):
    """How many flows are meant, how these stand, and how many there would be with another status or type."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})

    #: Of the statuses and the type that are asked for.
    flows: int
    #: Of all statuses, whichever are asked for.
    by_status: dict[str, int]
    #: Of all types, whichever is asked for.
    by_type: dict[str, int]
    #: Of `flows`, as are the next ones: how many the list finds if that is asked for as well.
    lost: int
    #: Null while nobody can tell, as Redis does not answer.
    silent: int | None
    overdue: int
    waiting: int
    #: The 20 causes of errors that most of these have.
    causes: list[CauseCount]
    #: How many flows were looked at, the newest first.
    searched: int
    #: These are not all: the numbers may be too low.
    at_least: bool
    #: As few were looked at for the causes.
    causes_at_least: bool


def counts_of(wanted: FlowFilter, found: FoundCounts, failed: FoundCounts, *, has_signs: bool) -> FlowCounts:
    """Return what a filter stands for, from the counts of all statuses and types, and of what failed."""
    total, statuses, types = Standing(), Counter[str](), Counter[str]()
    for (status, flow_type), standing in found.by_kind.items():
        has_status = not wanted.statuses or status in wanted.statuses
        has_type = wanted.flow_type in (None, flow_type)
        statuses[status] += standing.flows if has_type else 0
        types[flow_type] += standing.flows if has_status else 0
        if has_status and has_type:
            total.add(standing)
    by_cause = Counter[str]()
    for (status, flow_type), those in failed.causes.items():
        if (not wanted.statuses or status in wanted.statuses) and wanted.flow_type in (None, flow_type):
            by_cause.update(those)
    known = [*FLOW_STATUSES, *sorted(statuses.keys() - set(FLOW_STATUSES))]
    causes = sorted(by_cause.items(), key=lambda one: (-one[1], one[0]))[:MOST_CAUSES]
    return FlowCounts(
        flows=total.flows,
        by_status={status: statuses[status] for status in known if statuses[status]},
        by_type={one: count for one, count in sorted(types.items()) if count},
        lost=total.lost,
        silent=total.silent if has_signs else None,
        overdue=total.overdue,
        waiting=total.waiting,
        causes=[CauseCount(cause=cause, flows=flows) for cause, flows in causes],
        searched=found.searched,
        at_least=not found.is_whole,
        causes_at_least=not failed.is_whole,
    )
