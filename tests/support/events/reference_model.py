"""What a fresh row shows after events, by the sentences of the design: slow, in plain Python, no SQL."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from masterflow.domain.events import (
    PROGRESS_KEY,
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    CountedEvent,
    ErrorOccurred,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)

_FINAL = ("completed", "cancelled")


def row_after(events: Iterable[AnyEvent]) -> dict[str, Any]:
    """Return the visible columns; of lists the ids, oldest first."""
    unique = {event.event_id: event for event in events}
    in_order = sorted(unique.values(), key=lambda event: (event.occurred_at, event.event_id.hex))
    return {
        "phase_transitions": _ids(in_order, PhaseTransitioned),
        "error_history": _ids(in_order, ErrorOccurred),
        "agent_collaboration_log": _ids(in_order, AgentCollaborated),
        "listing": [
            f"{event.phase}:{event.status}" for event in in_order if isinstance(event, PhaseTransitioned)
        ][-100:],
        "phase_execution_times": _times(in_order),
        "memory_usage_metrics": _newest(in_order, MemoryMeasured),
        "agent_performance_metrics": _newest(in_order, AgentPerformanceMeasured),
        "flow_metadata": _newest(in_order, MetadataUpdated, ProgressReported, StatusChanged),
        "current_phase": _current_phase(in_order),
        "retry_count": _count([event for event in in_order if isinstance(event, FlowRetried)]),
        "flow_status": _status(in_order),
    }


def _ids(events: Sequence[AnyEvent], kind: type[Any]) -> list[str]:
    return [str(event.event_id) for event in events if isinstance(event, kind)][-100:]


def _updates(event: AnyEvent) -> dict[str, Any]:
    match event:
        case MemoryMeasured() | AgentPerformanceMeasured():
            return event.metrics
        case MetadataUpdated():
            return event.updates
        case ProgressReported():
            return {PROGRESS_KEY: event.snapshot}
        case StatusChanged():
            return event.row_metadata
    return {}


def _newest(events: Sequence[AnyEvent], *kinds: type[Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for event in events:
        if isinstance(event, kinds):
            document |= _updates(event)
    return document


def _count(events: Iterable[CountedEvent]) -> int:
    highest: dict[str, int] = defaultdict(int)
    without_number = 0
    for event in events:
        if event.counted:
            highest[event.counted.by] = max(highest[event.counted.by], event.counted.number)
        else:
            without_number += 1
    return without_number + sum(sorted(highest.values())[-32:])


def _times(events: Sequence[AnyEvent]) -> dict[str, dict[str, Any]]:
    by_phase: dict[str, list[PhaseTimed]] = defaultdict(list)
    for event in events:
        if isinstance(event, PhaseTimed):
            by_phase[event.phase].append(event)
    times = {}
    for phase, timed in by_phase.items():
        newest = max(timed, key=lambda event: (event.occurred_at, event.execution_time_ms))
        times[phase] = {
            "execution_time_ms": newest.execution_time_ms,
            "completed_at": newest.timestamp,
            "attempts": _count(timed),
        }
    return times


def _current_phase(events: Sequence[AnyEvent]) -> str | None:
    started = [
        event.phase
        for event in events
        if isinstance(event, PhaseTransitioned) and event.status == "processing"
    ]
    return started[-1] if started else None


def _status(events: Sequence[AnyEvent]) -> str:
    """Apply the four rules of docs/adr/0002 to the places of the events in their order."""
    status = {place: event for place, event in enumerate(events) if isinstance(event, StatusChanged)}
    for _, event in status.items():
        if event.status in _FINAL:
            return event.status
    failed = max((place for place, event in status.items() if event.status == "failed"), default=-1)
    others = [place for place, event in status.items() if event.status != "failed"]
    reopenings = [place for place in others if status[place].reopens]
    reopenings += [place for place, event in enumerate(events) if isinstance(event, FlowRetried)]
    reopened, latest = max(reopenings, default=-1), max(others, default=-1)
    if failed > reopened:
        return "failed"
    if failed >= 0 and latest < reopened:
        return "processing"
    return status[latest].status if latest >= 0 else "initialized"
