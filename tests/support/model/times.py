"""Times of phases: of each the newest one, ties to the longer, and of how many attempts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from masterflow.domain.events import PhaseTimed
from tests.support.model.jsonb import as_text
from tests.support.model.lists import moment

_MOST_PHASES = 256
_FIRST = datetime.min.replace(tzinfo=UTC)


def merged_times(
    stored: dict[str, Any], timed: Sequence[PhaseTimed], attempts: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the times once these are in them, and of which phases they are left out."""
    times = dict(stored)
    for event in timed:
        # Where all timings of a phase count as known, the row says nothing of it.
        if event.phase not in times and not attempts[event.phase]:
            continue
        time = _standing(times.get(event.phase))
        if (event.occurred_at, event.execution_time_ms) > (_moment_of(time), _ms(time)):
            time |= {"execution_time_ms": event.execution_time_ms, "completed_at": event.timestamp}
        times[event.phase] = time | {"attempts": max(attempts[event.phase], 1)}
    # What is not ours is not counted, and stays.
    ours = [phase for phase, time in times.items() if isinstance(time, dict) and "attempts" in time]
    ranked = sorted(
        sorted(ours), key=lambda phase: as_text(times[phase].get("completed_at")) or "", reverse=True
    )
    for phase in ranked[_MOST_PHASES:]:
        del times[phase]
    return times, ranked[_MOST_PHASES:]


def _standing(time: Any) -> dict[str, Any]:
    if isinstance(time, dict):
        return dict(time)
    return {} if time is None else {"legacy": time}


def _moment_of(time: Mapping[str, Any]) -> datetime:
    """Return when a phase was timed; what has no readable time was before all others."""
    at = time.get("completed_at")
    return moment(time.get("recorded_at") if at is None else at) or _FIRST


def _ms(time: Mapping[str, Any]) -> Any:
    ms = time.get("execution_time_ms")
    return -1 if ms is None or isinstance(ms, str) else ms
