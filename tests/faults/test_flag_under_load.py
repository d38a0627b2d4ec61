import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any
from uuid import UUID

from masterflow.domain.events import (
    AgentCollaborated,
    AnyEvent,
    ErrorOccurred,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from masterflow.repository.feature_flag import FeatureFlag, Override
from masterflow.repository.settings import RedisSettings
from tests.faults.harness.checker import AS_IT_SHOULD_BE, Verdict
from tests.faults.harness.run import Run
from tests.support.eventually import eventually

_EFFECT = timedelta(seconds=5)
_LISTS = ("phase_transitions", "error_history", "agent_collaboration_log")


async def set_flag(run: Run, override: Override) -> None:
    """Do as an operator does, with the operators' keys."""
    names = ("REDIS_URL", "ENRICHMENT_WORKER_KEYS")
    flag = FeatureFlag(RedisSettings.model_validate({name: run.place.environment[name] for name in names}))
    await flag.set_override(override)
    await flag.close()


def switch(run: Run, override: Override) -> datetime:
    """Switch the flag, let that last, and return when it happened."""
    with run.fault(f"flag {override}"):
        asyncio.run(set_flag(run, override))
        at = datetime.now(UTC)
        sleep(run.scale.seconds(7, 30))
    return at


def listed(run: Run) -> Counter[str]:
    """Return how often each id stands in the lists of the rows."""
    rows = run.rows()
    return Counter(entry["id"] for row in rows for name in _LISTS for entry in row[name] or [])


def listed_kinds(events: Iterable[AnyEvent], *, since: datetime) -> set[str]:
    """Return the ids of what belongs into a list and happened since then."""
    return {
        str(event.event_id)
        for event in events
        if isinstance(event, PhaseTransitioned | ErrorOccurred | AgentCollaborated)
        and event.occurred_at > since
    }


def by_flow(events: Iterable[AnyEvent], kind: type[AnyEvent]) -> dict[UUID, list[Any]]:
    """Return the events of a kind, for each flow from the newest back."""
    found: dict[UUID, list[Any]] = {}
    for event in sorted(events, key=lambda event: event.stamp, reverse=True):
        if isinstance(event, kind):
            found.setdefault(event.flow_id, []).append(event)
    return found


def stale_flows(run: Run, reported: list[AnyEvent]) -> set[UUID]:
    """Return the flows whose row has an older status or snapshot than the newest of these, or none."""
    rows = {row["flow_id"]: row["flow_metadata"] or {} for row in run.rows()}
    later = run.notes().accepted
    stale = set()
    for flow_id, [newest, *_] in by_flow(reported, StatusChanged).items():
        good = [event for event in by_flow(later, StatusChanged)[flow_id] if event.stamp >= newest.stamp]
        if rows[flow_id].get("reported") not in [event.metadata["reported"] for event in good]:
            stale.add(flow_id)
    for flow_id, [newest, *_] in by_flow(reported, ProgressReported).items():
        good = [event for event in by_flow(later, ProgressReported)[flow_id] if event.stamp >= newest.stamp]
        if rows[flow_id].get("last_progress_update") not in [event.snapshot for event in good]:
            stale.add(flow_id)
    return stale


def test_the_flag_stops_and_starts_analytics_within_5_seconds_and_never_status(run: Run) -> None:
    off = switch(run, "off")
    reported = run.notes().accepted
    stopped = listed_kinds(reported, since=off + _EFFECT)
    assert stopped
    eventually(lambda: not stale_flows(run, reported), interval_s=0.5)
    assert not stopped & listed(run).keys()
    on = switch(run, "on")
    run.deliver()
    started = listed_kinds(run.notes().accepted, since=on + _EFFECT)
    assert started
    counts = listed(run)
    lost = len(started - counts.keys()) + len(stale_flows(run, run.notes().accepted))
    run.measurements.verdict = Verdict(lost, twice=sum(counts.values()) - len(counts), differing_rows=0)
    assert run.measurements.verdict == AS_IT_SHOULD_BE
