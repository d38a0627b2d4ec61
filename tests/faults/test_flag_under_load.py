from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.events import (
    AgentCollaborated,
    AnyEvent,
    ErrorOccurred,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from repository.feature_flag import FLAG_KEY
from tests.faults.run import Run

_EFFECT = timedelta(seconds=5)
_LISTS = ("phase_transitions", "error_history", "agent_collaboration_log")


def switch(run: Run, override: str) -> datetime:
    """Switch the flag, let that last, and return when it happened."""
    with run.fault(f"flag {override}"):
        run.place.redis.set(FLAG_KEY, override)
        at = datetime.now(UTC)
        run.scale.last(short_s=7, long_s=30)
    return at


def listed(rows: Iterable[dict[str, Any]]) -> set[str]:
    """Return the ids of all entries in all lists."""
    return {entry["id"] for row in rows for name in _LISTS for entry in row[name] or []}


def listed_kinds(events: Iterable[AnyEvent], *, since: datetime) -> set[str]:
    """Return the ids of what belongs into a list and happened since then."""
    return {
        str(event.event_id)
        for event in events
        if isinstance(event, PhaseTransitioned | ErrorOccurred | AgentCollaborated)
        and event.occurred_at > since
    }


def newest(events: Iterable[AnyEvent], kind: type[AnyEvent]) -> dict[UUID, Any]:
    """Return the last event of this kind of each flow."""
    in_order = sorted(events, key=lambda event: event.stamp)
    return {event.flow_id: event for event in in_order if isinstance(event, kind)}


def test_the_flag_stops_and_starts_analytics_within_5_seconds_and_never_status(run: Run) -> None:
    off = switch(run, "off")
    stopped = listed_kinds(run.notes().accepted, since=off + _EFFECT)
    assert stopped
    assert not stopped & listed(run.rows())
    on = switch(run, "on")
    run.deliver()
    accepted = run.notes().accepted
    rows = {row["flow_id"]: row for row in run.rows()}
    started = listed_kinds(accepted, since=on + _EFFECT)
    assert started
    assert started <= listed(rows.values())
    for flow_id, event in newest(accepted, ProgressReported).items():
        assert rows[flow_id]["flow_metadata"]["last_progress_update"]["n"] == event.snapshot["n"]
    for flow_id, event in newest(accepted, StatusChanged).items():
        assert rows[flow_id]["flow_metadata"]["reported"] == event.metadata["reported"]
