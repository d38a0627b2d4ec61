"""How many flows each choice of a filter would find."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.status.wanted import FlowFilter

_EXAMPLE: Final[dict[str, Any]] = {
    "flows": 12,
    "by_status": {"processing": 2, "completed": 9, "failed": 1},
    "by_type": {"discovery": 12},
    "searched": 12,
    "at_least": False,
}


class FlowCounts(BaseModel):
    """How many flows are meant, and how many there would be with another status or type."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})

    #: Of the statuses and the type that are asked for.
    flows: int
    #: Of all statuses, whichever are asked for.
    by_status: dict[str, int]
    #: Of all types, whichever is asked for.
    by_type: dict[str, int]
    #: How many flows were looked at, the newest first.
    searched: int
    #: These are not all: the numbers may be too low.
    at_least: bool


def counts_of(
    wanted: FlowFilter, found: Mapping[tuple[str, str], int], *, searched: int, is_whole: bool
) -> FlowCounts:
    """Return the counts by status and type that a filter stands for, from those of all statuses and types."""
    total, statuses, types = 0, Counter[str](), Counter[str]()
    for (status, flow_type), count in found.items():
        has_status = not wanted.statuses or status in wanted.statuses
        has_type = wanted.flow_type in (None, flow_type)
        statuses[status] += count if has_type else 0
        types[flow_type] += count if has_status else 0
        total += count if has_status and has_type else 0
    known = [*FLOW_STATUSES, *sorted(statuses.keys() - set(FLOW_STATUSES))]
    return FlowCounts(
        flows=total,
        by_status={status: statuses[status] for status in known if statuses[status]},
        by_type={one: count for one, count in sorted(types.items()) if count},
        searched=searched,
        at_least=not is_whole,
    )
