"""What one flow counts for in its fleet, read from its row whatever that holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from masterflow.domain.clock import parse_time, to_microseconds
from masterflow.domain.fleet.causes import READ_CHARS, cause_of
from masterflow.domain.fleet.durations import bucket_of
from masterflow.domain.fleet.sums import Dated
from masterflow.domain.json_shapes import as_list, as_map, number_of
from masterflow.domain.records.status_times import status_since_us
from masterflow.domain.statuses import ACTIVE_STATUSES
from masterflow.domain.usage.amounts import NANO_PER_USD

#: A flow in one of these has come to an end; a failed one may be retried, and then it counts no more as one.
ENDED: Final = ("completed", "failed", "cancelled")

#: The figures of usage, as `Usage` has them.
FIGURES: Final = ("calls", "input_tokens", "output_tokens", "cost_nano_usd", "unpriced_calls")

#: Of the name of a phase, an agent or a model so much is read.
NAME_CHARS: Final = 100
_MOST: Final = 10**18

# The last second that Python knows.
_LATEST_US: Final = 253_402_300_799_000_000


@dataclass(frozen=True, slots=True)
class CauseSpan:
    """When the errors of one cause in a flow were first and last seen, in microseconds since 1970."""

    first_us: int
    last_us: int

    def with_(self, other: "CauseSpan") -> "CauseSpan":
        """Return the span that holds both."""
        return CauseSpan(min(self.first_us, other.first_us), max(self.last_us, other.last_us))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFacts:
    """What a flow counts for: amounts at their times, and how it stands now."""

    flow_id: UUID
    client_account_id: UUID
    engagement_id: UUID
    flow_type: str
    status: str
    #: In microseconds since 1970; None where the row names no time that there is.
    created_us: int | None
    updated_us: int | None
    dated: tuple[Dated, ...]
    causes: Mapping[str, CauseSpan]
    #: Since when it waits for somebody; None if it does not.
    waiting_us: int | None
    is_lost: bool
    #: What the row says of whoever is gone, where it is lost.
    lost: Mapping[str, Any]
    is_overdue: bool

    @property
    def is_open(self) -> bool:
        """Return whether it goes on, or may."""
        return self.status in ACTIVE_STATUSES


def facts_of(row: Mapping[Any, Any]) -> FlowFacts:
    """Return what a row of fleet_columns.sql counts for.

    Each time that a phase was last measured counts when it ended, each cause of errors when it was last
    seen, usage when the flow began; what has no time counts when the row last changed.
    """
    flow_type, status = str(row["flow_type"]), str(row["flow_status"])
    created_us, updated_us = row["created_us"], row["updated_us"]
    fallback_us = updated_us if updated_us is not None else created_us or 0
    dated: list[Dated] = []
    if created_us is not None:
        dated.append(Dated(created_us, ("started", flow_type, status), 1))
        dated += (Dated(created_us, key, amount) for key, amount in _usage(row))
    if status in ENDED:
        ended_us = status_since_us(row["status_stamps"], status)
        dated.append(Dated(fallback_us if ended_us is None else ended_us, ("ended", flow_type, status), 1))
    dated += _phases(flow_type, row["times"], fallback_us)
    causes = _causes(row["errors"], fallback_us)
    dated += (Dated(span.last_us, ("cause", cause), 1) for cause, span in causes.items())
    is_lost = bool(row["is_lost"])
    return FlowFacts(
        flow_id=row["flow_id"],
        client_account_id=row["client_account_id"],
        engagement_id=row["engagement_id"],
        flow_type=flow_type,
        status=status,
        created_us=created_us,
        updated_us=updated_us,
        dated=tuple(dated),
        causes=causes,
        waiting_us=None if row["waiting_us"] is None else min(row["waiting_us"], _LATEST_US),
        is_lost=is_lost,
        lost=as_map(row["lost"]) if is_lost else {},
        is_overdue=bool(row["is_overdue"]),
    )


def milliseconds_of(time: object) -> float | None:
    """Return how long a phase took by its entry of `phase_execution_times`; None if that says no time."""
    found = as_map(time)
    milliseconds = number_of(found.get("execution_time_ms") if found else time)
    return milliseconds if milliseconds is not None and milliseconds >= 0 else None


def _phases(flow_type: str, times: object, fallback_us: int) -> Iterable[Dated]:
    for name, time in as_map(times).items():
        found, milliseconds = as_map(time), milliseconds_of(time)
        if milliseconds is None or milliseconds >= _MOST:
            continue
        phase = name[:NAME_CHARS]
        at_us = _time_us(found.get("completed_at") or found.get("recorded_at"), fallback_us)
        yield Dated(at_us, ("phase", flow_type, phase, bucket_of(milliseconds)), 1)
        yield Dated(at_us, ("phase_us", flow_type, phase), round(milliseconds * 1000))


def _causes(errors: object, fallback_us: int) -> dict[str, CauseSpan]:
    """Return the causes among pairs of a text and a time."""
    found: dict[str, CauseSpan] = {}
    for text, time in as_list(errors):
        cause = cause_of(text[:READ_CHARS] if isinstance(text, str) else "")
        at_us = _time_us(time, fallback_us)
        span = CauseSpan(at_us, at_us)
        found[cause] = found[cause].with_(span) if cause in found else span
    return found


def _usage(row: Mapping[Any, Any]) -> Iterable[tuple[tuple[str, ...], int]]:
    """Yield what the flow used in all, and what each of its agents used of each model."""
    for figure, amount in _figures(row["usage"]):
        yield ("spent", figure), amount
    for agent, models in as_map(row["agents_usage"]).items():
        for model, figures in as_map(models).items():
            for figure, amount in _figures(figures):
                yield ("usage", agent[:NAME_CHARS], model[:NAME_CHARS], figure), amount


def _figures(figures: object) -> Iterable[tuple[str, int]]:
    found = as_map(figures)
    for name in FIGURES:
        told = number_of(found.get("cost_usd" if name == "cost_nano_usd" else name))
        if told is not None and 0 < told < _MOST:
            is_cost = name == "cost_nano_usd"
            yield name, round(Decimal(str(told)) * NANO_PER_USD) if is_cost else int(told)


def _time_us(text: object, fallback_us: int) -> int:
    at = parse_time(text)
    return fallback_us if at is None else to_microseconds(at)
