"""What is usual for a flow: its times against those of the flows of its type that completed."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from masterflow.domain.clock import to_microseconds
from masterflow.domain.fleet.facts import NAME_CHARS, milliseconds_of
from masterflow.domain.json_shapes import as_map
from masterflow.domain.records.status_times import status_since_us
from masterflow.status import examples
from masterflow.status.durations import lasting
from masterflow.status.fleet.words import SLOWER
from masterflow.status.timeline import is_over
from masterflow.status.views import BarView, FlowStatus

#: Of fewer flows nobody knows what is usual.
LEAST_FLOWS: Final = 5


class UsualTime(BaseModel):
    """How long something took, or has taken so far, against other flows; null where nobody knows."""

    took_ms: float | None
    is_running: bool
    #: Of so many other flows the time is known.
    flows: int
    p50_ms: float | None
    p95_ms: float | None
    #: `took_ms` as a multiple of `p95_ms`.
    times_p95: float | None
    #: It takes 1.5 times p95 or longer.
    is_slower: bool


class UsualPhase(UsualTime):
    """The same of one phase."""

    phase: str


class Remaining(BaseModel):
    """How much longer such flows took that had not ended after as long as this one."""

    flows: int
    p50_ms: float
    p95_ms: float


class Usual(BaseModel):
    """A flow's times against those of the newest 500 flows of its type and engagement that completed."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.USUAL]})

    flow_id: UUID
    flow_type: str
    as_of: datetime
    flows: int
    #: From the time when it was created, waiting for people included.
    whole: UsualTime
    phases: list[UsualPhase]
    #: Null for one that has ended, and where too few flows took as long.
    remaining: Remaining | None


@dataclass(frozen=True, slots=True)
class Past:
    """How long one flow took that completed, and its phases, in milliseconds."""

    flow_id: UUID
    whole_ms: float | None
    phases: Mapping[str, float] = field(default_factory=dict)


def past_of(row: Mapping[Any, Any]) -> Past:
    """Return what a row of read_usual.sql tells."""
    created_us, ended_us = row["created_us"], status_since_us(row["status_stamps"], "completed")
    is_known = created_us is not None and ended_us is not None and ended_us >= created_us
    return Past(
        row["flow_id"],
        (ended_us - created_us) / 1000 if is_known else None,
        {
            name[:NAME_CHARS]: took_ms
            for name, time in as_map(row["times"]).items()
            if (took_ms := milliseconds_of(time)) is not None
        },
    )


def usual_of(
    flow: FlowStatus, bars: Iterable[BarView], past: Iterable[Past], now: datetime | None = None
) -> Usual:
    """Return how a flow compares with others; it is none of these itself."""
    now = now or datetime.now(UTC)
    others = [one for one in past if one.flow_id != flow.flow_id]
    wholes = [one.whole_ms for one in others if one.whole_ms is not None]
    by_phase: defaultdict[str, list[float]] = defaultdict(list)
    for one in others:
        for phase, milliseconds in one.phases.items():
            by_phase[phase].append(milliseconds)
    whole_ms, has_ended = _whole_ms(flow, now), is_over(flow.status)
    running = {bar.phase: worked_ms(bar, now) for bar in bars if bar.ended_at is None and not has_ended}
    phases = []
    for view in flow.phase_details:
        took_ms = running.get(view.phase, view.execution_time_ms)
        compared = _compared(took_ms, by_phase[view.phase], is_running=view.phase in running)
        phases.append(UsualPhase(phase=view.phase, **compared))
    return Usual(
        flow_id=flow.flow_id,
        flow_type=flow.flow_type,
        as_of=now,
        flows=len(others),
        whole=UsualTime(**_compared(whole_ms, wholes, is_running=not has_ended)),
        phases=phases,
        remaining=None if has_ended or whole_ms is None else _remaining(whole_ms, wholes),
    )


def slower_words(time: UsualTime) -> str:
    """Return `slower than usual: 3.1 × p95`; nothing where it is not."""
    return f"slower than usual: {time.times_p95:.1f} × p95" if time.is_slower and time.times_p95 else ""


def usual_words(time: UsualTime) -> str:
    """Return what is usual: `usually 1.2 s, p95 4.1 s`; nothing where nobody knows."""
    return "" if time.p50_ms is None else f"usually {lasting(time.p50_ms)}, p95 {lasting(time.p95_ms)}"


def remaining_words(remaining: Remaining | None) -> str:
    """Return how much longer it may take; nothing where nobody knows."""
    if remaining is None:
        return ""
    return f"usually {lasting(remaining.p50_ms)} more, p95 {lasting(remaining.p95_ms)}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all is not above."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _compared(took_ms: float | None, others: Sequence[float], *, is_running: bool) -> dict[str, Any]:
    is_known = len(others) >= LEAST_FLOWS
    p95 = quantile(others, 0.95) if is_known else None
    times = took_ms / p95 if p95 and took_ms is not None else None
    return {
        "took_ms": took_ms,
        "is_running": is_running,
        "flows": len(others),
        "p50_ms": quantile(others, 0.5) if is_known else None,
        "p95_ms": p95,
        "times_p95": None if times is None else round(times, 2),
        "is_slower": times is not None and times >= SLOWER,
    }


def _remaining(elapsed_ms: float, wholes: Iterable[float]) -> Remaining | None:
    more = [whole_ms - elapsed_ms for whole_ms in wholes if whole_ms > elapsed_ms]
    if len(more) < LEAST_FLOWS:
        return None
    return Remaining(flows=len(more), p50_ms=quantile(more, 0.5), p95_ms=quantile(more, 0.95))


def _whole_ms(flow: FlowStatus, now: datetime) -> float | None:
    end = (flow.status_since or flow.updated_at) if is_over(flow.status) else now
    if flow.created_at is None or end is None:
        return None
    return max(0.0, (to_microseconds(end) - to_microseconds(flow.created_at)) / 1000)


def worked_ms(bar: BarView, now: datetime) -> float:
    """Return for how long an attempt has worked until now, in milliseconds; waiting is not work."""
    waited_s = sum(((wait.ended_at or now) - wait.started_at).total_seconds() for wait in bar.waits)
    return max(0.0, (now - bar.started_at).total_seconds() - waited_s) * 1000
