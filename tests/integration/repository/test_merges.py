import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ErrorOccurred,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    new_event,
)
from masterflow.repository.merge.merges import MergeOutcome, apply_events
from tests.support.events.flows import bytes_of, merged, new_context, new_flow, row_of, without_bookkeeping

_CONTEXT = new_context()
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
_KB = 1024


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


def at(second: int, flow_id: UUID, kind: type[Any], **fields: Any) -> AnyEvent:
    event: AnyEvent = new_event(
        kind, _CONTEXT, flow_id, occurred_at=_BEGIN + timedelta(seconds=second), **fields
    )
    return event


def transition(
    second: int, flow_id: UUID, phase: str = "data_import", status: str = "processing"
) -> AnyEvent:
    return at(second, flow_id, PhaseTransitioned, phase=phase, status=status)


async def test_a_transition_is_kept_whole_and_listed(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    event = at(1, flow_id, PhaseTransitioned, phase="data_import", status="completed", metadata={"rows": 412})
    row = await merged(session, flow_id, [event])
    assert row.phase_transitions == [
        {
            "id": str(event.event_id),
            "phase": "data_import",
            "status": "completed",
            "timestamp": "2026-11-01T00:00:01.000000+00:00",
            "metadata": {"rows": 412},
        }
    ]
    assert row.flow_metadata["phase_transitions"] == ["data_import:completed"]


@pytest.mark.parametrize(
    ("kind", "fields", "column"),
    [
        (PhaseTransitioned, {"phase": "p", "status": "processing"}, "phase_transitions"),
        (ErrorOccurred, {"phase": "p", "error": "boom"}, "error_history"),
        (AgentCollaborated, {"entry": {"agent": "a"}}, "agent_collaboration_log"),
    ],
)
async def test_a_list_keeps_the_newest_100_in_order_of_time(
    session: AsyncSession, kind: type[Any], fields: dict[str, Any], column: str
) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    events = [at(second, flow_id, kind, **fields) for second in range(150)]
    row = await merged(session, flow_id, events[70:], events[:70], events[40:90])
    assert [entry["id"] for entry in row[column]] == [str(event.event_id) for event in events[50:]]


async def test_the_listing_follows_the_transitions(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT, phase_transitions=[{"phase": "old", "status": "completed"}])
    events = [transition(second, flow_id, f"phase {second}") for second in range(120)]
    row = await merged(session, flow_id, events[:3], events[60:], events[3:60])
    entries = [f"{entry['phase']}:{entry['status']}" for entry in row.phase_transitions]
    assert row.flow_metadata["phase_transitions"] == entries
    assert len(entries) == 100


async def test_the_newest_value_of_a_key_wins_whatever_arrives_last(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT, memory_usage_metrics={"peak_mb": 1, "unknown": True})
    events = [at(second, flow_id, MemoryMeasured, metrics={"peak_mb": second}) for second in (3, 9, 5)]
    row = await merged(session, flow_id, *[[event] for event in events])
    assert row.memory_usage_metrics == {"peak_mb": 9, "unknown": True}


async def test_agent_metrics_keep_their_form_per_agent(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    metrics = {"Schema Expert": {"calls": 3, "tokens": 120}, "success_rate": 0.97}
    row = await merged(session, flow_id, [at(1, flow_id, AgentPerformanceMeasured, metrics=metrics)])
    assert row.agent_performance_metrics == metrics


async def test_times_keep_the_newest_and_count_attempts(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    late, early = (
        at(second, flow_id, PhaseTimed, phase="data_import", execution_time_ms=ms)
        for second, ms in ((9, 1234.56), (4, 99))
    )
    row = await merged(session, flow_id, [late], [early], [late, early])
    assert row.phase_execution_times == {
        "data_import": {"execution_time_ms": 1234.56, "completed_at": late.timestamp, "attempts": 2}
    }


async def test_retries_count_once_per_event_within_the_last_256(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT, retry_count=2)
    retries = [at(second, flow_id, FlowRetried) for second in range(300)]
    row = await merged(session, flow_id, retries[:100], retries[50:300], retries[44:])
    assert row.retry_count == 302
    assert len(row.flow_metadata["_enrichment"]["retries"]) == 256


async def test_the_newest_snapshot_stands_in_the_metadata(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT, flow_metadata={"unknown": {"kept": [1, None]}})
    newer, older = (
        at(second, flow_id, ProgressReported, snapshot={"progress": second}) for second in (20, 10)
    )
    row = await merged(session, flow_id, [newer], [older])
    assert without_bookkeeping(row.flow_metadata) == {
        "unknown": {"kept": [1, None]},
        "last_progress_update": {"progress": 20},
    }


async def test_progress_data_in_a_status_report_is_the_snapshot(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    metadata = {"progress_data": {"progress": 30}, "is_processing": True}
    row = await merged(
        session, flow_id, [at(1, flow_id, StatusChanged, status="processing", metadata=metadata)]
    )
    assert without_bookkeeping(row.flow_metadata) == {
        "last_progress_update": {"progress": 30},
        "is_processing": True,
    }


async def test_the_current_phase_is_that_of_the_newest_start(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT, flow_persistence_data={"raw_data": [1]})
    events = [
        transition(5, flow_id, "data_cleansing"),
        transition(2, flow_id),
        transition(9, flow_id, "x", "failed"),
    ]
    row = await merged(session, flow_id, *[[event] for event in events])
    assert row.flow_persistence_data == {"raw_data": [1], "current_phase": "data_cleansing"}


async def test_a_null_column_is_an_empty_one(session: AsyncSession) -> None:
    flow_id = await new_flow(
        session, _CONTEXT, phase_transitions=..., memory_usage_metrics=..., flow_metadata=...
    )
    row = await merged(
        session, flow_id, [transition(1, flow_id), at(2, flow_id, MemoryMeasured, metrics={"peak_mb": 1})]
    )
    assert len(row.phase_transitions) == 1
    assert row.memory_usage_metrics == {"peak_mb": 1}


async def test_entries_of_older_writers_keep_their_place_in_time(session: AsyncSession) -> None:
    legacy = [
        {"phase": "second", "timestamp": "2026-11-01T00:00:02"},
        {"phase": "first", "timestamp": "2026-11-01T00:00:01.5Z"},
        {"phase": "when?", "timestamp": "yesterday"},
        "no entry at all",
    ]
    flow_id = await new_flow(session, _CONTEXT, phase_transitions=legacy)
    row = await merged(session, flow_id, [transition(3, flow_id, "last")], [transition(0, flow_id, "early")])
    phases = [entry if isinstance(entry, str) else entry["phase"] for entry in row.phase_transitions]
    assert phases == ["when?", "no entry at all", "early", "first", "second", "last"]


async def test_times_of_older_writers_are_taken_in(session: AsyncSession) -> None:
    times = {
        "timed": {"execution_time_ms": 7, "recorded_at": "2026-11-01T00:00:05.000000", "note": "kept"},
        "minutes": 12,
        "other": 3,
    }
    flow_id = await new_flow(session, _CONTEXT, phase_execution_times=times)
    events = [
        at(2, flow_id, PhaseTimed, phase="timed", execution_time_ms=1),
        at(2, flow_id, PhaseTimed, phase="minutes", execution_time_ms=2),
    ]
    row = await merged(session, flow_id, events)
    assert row.phase_execution_times == {
        "timed": {**times["timed"], "attempts": 2},  # type: ignore[dict-item]
        "minutes": {"legacy": 12, "execution_time_ms": 2, "completed_at": events[1].timestamp, "attempts": 2},
        "other": 3,
    }


async def test_what_has_an_unexpected_type_is_set_aside_whole(session: AsyncSession) -> None:
    odd: dict[str, Any] = {
        "phase_transitions": {"not": "a list"},
        "phase_execution_times": ["not a map"],
        "memory_usage_metrics": "text",
        "flow_metadata": [1, 2],
        "flow_persistence_data": 7,
    }
    flow_id = await new_flow(session, _CONTEXT, **odd)
    events = [
        transition(1, flow_id),
        at(2, flow_id, PhaseTimed, phase="p", execution_time_ms=1),
        at(3, flow_id, MemoryMeasured, metrics={"peak_mb": 1}),
    ]
    row = await merged(session, flow_id, *[[event] for event in events])
    assert row.flow_metadata["_enrichment"]["displaced"] == odd
    assert len(row.phase_transitions) == 1


@pytest.mark.parametrize(
    ("before", "reports", "expected"),
    [
        ("initialized", [(1, "processing"), (2, "awaiting_approval")], "waiting_for_approval"),
        ("initialized", [(5, "awaiting_input"), (3, "running")], "paused"),
        ("initialized", [(1, "error")], "processing"),
        ("initialized", [(3, "completed"), (5, "processing")], "completed"),
        ("initialized", [(5, "processing"), (3, "completed")], "completed"),
        ("initialized", [(7, "cancelled"), (5, "completed")], "completed"),
        ("completed", [(1, "processing"), (2, "cancelled")], "completed"),
        ("initialized", [(3, "failed"), (5, "processing")], "failed"),
        ("initialized", [(5, "processing"), (3, "failed")], "failed"),
        ("initialized", [(5, "failed"), (3, "resume")], "failed"),
        ("initialized", [(3, "failed"), (5, "resume")], "processing"),
        ("initialized", [(3, "failed"), (4, "retry")], "processing"),
        ("initialized", [(3, "failed"), (4, "retry"), (5, "paused")], "paused"),
        ("initialized", [(2, "processing"), (4, "retry"), (3, "failed")], "processing"),
        ("failed", [(1, "processing")], "failed"),
        ("failed", [(2, "resume"), (1, "paused")], "processing"),
        ("paused", [(2, "retry")], "paused"),
        ("initialized", [(4, "failed"), (6, "completed")], "completed"),
    ],
)
async def test_the_status_follows_the_rules_in_any_order(
    session: AsyncSession, before: str, reports: list[tuple[int, str]], expected: str
) -> None:
    for order in (reports, reports[::-1]):
        flow_id = await new_flow(session, _CONTEXT, flow_status=before)
        for second, word in order:
            event = (
                at(second, flow_id, FlowRetried)
                if word == "retry"
                else at(second, flow_id, StatusChanged, status="processing", reopens=True)
                if word == "resume"
                else at(second, flow_id, StatusChanged, status=word)
            )
            await apply_events(session, [event])
        assert (await row_of(session, flow_id)).flow_status == expected


async def test_the_end_of_a_phase_does_not_touch_the_status(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT, flow_status="processing")
    row = await merged(session, flow_id, [transition(1, flow_id, "finalization", "completed")])
    assert row.flow_status == "processing"


async def test_columns_stay_within_256_kb_whatever_is_fed_in(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    large = {f"key {n}": "é" * 900 for n in range(9)}
    reports: list[tuple[type[Any], str]] = [
        (PhaseTransitioned, "metadata"),
        (ErrorOccurred, "details"),
        (AgentCollaborated, "entry"),
        (MemoryMeasured, "metrics"),
        (AgentPerformanceMeasured, "metrics"),
        (MetadataUpdated, "updates"),
        (ProgressReported, "snapshot"),
    ]
    extra: dict[type[Any], dict[str, Any]] = {
        PhaseTransitioned: {"phase": "ü" * 100, "status": "processing"},
        ErrorOccurred: {"phase": "ü" * 100, "error": "é" * 5_000_000},
    }
    for begin in range(0, 10_000, 1_000):
        batch = []
        for n in range(begin, begin + 1_000):
            kind, name = reports[n % len(reports)]
            payload = {**large, f"{n} " * 40: "x" * (5_000_000 if n < 20 else 5_000)}
            batch.append(at(n, flow_id, kind, **{name: payload}, **extra.get(kind, {})))
        await apply_events(session, batch)
    row = await bytes_of(session, flow_id)
    sizes = {name: len(value.encode()) for name, value in row.items() if isinstance(value, str)}
    assert max(sizes.values()) <= 256 * _KB, sizes
    for name in ("phase_transitions", "error_history", "agent_collaboration_log"):
        entries = json.loads(row[name])
        assert len(entries) == 100
        assert max(len(json.dumps(entry, ensure_ascii=False).encode()) for entry in entries) <= 4 * _KB
        assert "…[truncated" in row[name]


async def test_missing_and_foreign_flows_are_told_apart_and_hold_nobody_up(session: AsyncSession) -> None:
    mine, foreign, missing = (
        await new_flow(session, _CONTEXT),
        await new_flow(session, new_context()),
        uuid4(),
    )
    before = await bytes_of(session, foreign)
    outcome = await apply_events(session, [transition(1, flow_id) for flow_id in (missing, mine, foreign)])
    assert outcome == MergeOutcome(frozenset({missing}), frozenset({foreign}))
    assert len((await row_of(session, mine)).phase_transitions) == 1
    assert await bytes_of(session, foreign) == before
