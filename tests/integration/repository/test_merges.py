import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.errors import TablesUnsuitable, TransactionConflict
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
from masterflow.repository.merge import merges
from masterflow.repository.merge.merges import MergeOutcome, apply_events
from tests.support.events.flows import bytes_of, merged, new_context, new_flow, row_of, without_bookkeeping

_CONTEXT = new_context()
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
_KB = 1024
_TABLE = "migration.crewai_flow_state_extensions"


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
    for begin in range(0, 2_000, 1_000):
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


async def test_ids_that_share_their_last_digits_count_one_by_one(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    ids = [UUID(f"{n:08x}-0000-1000-8000-0123456789ab") for n in range(5)]
    retries = [at(1, flow_id, FlowRetried, event_id=event_id) for event_id in ids]
    times = [at(2, flow_id, PhaseTimed, event_id=each, phase="p", execution_time_ms=1) for each in ids]
    row = await merged(session, flow_id, retries, times, retries[1:], times[:3])
    assert row.retry_count == 5
    assert row.phase_execution_times["p"]["attempts"] == 5


def numbered(second: int, flow_id: UUID, by: str, number: int) -> list[AnyEvent]:
    counted = {"by": by, "number": number}
    return [
        at(second, flow_id, FlowRetried, counted=counted),
        at(second, flow_id, PhaseTimed, phase="p", execution_time_ms=second, counted=counted),
    ]


async def test_what_a_process_numbers_counts_once_whatever_comes_again_and_however_late(
    session: AsyncSession,
) -> None:
    flow_id = await new_flow(session, _CONTEXT, retry_count=2)
    events = [each for n in range(1, 901) for each in numbered(n, flow_id, "process1", n)]
    others = [each for n in range(1, 51) for each in numbered(n, flow_id, "process2", n)]
    row = await merged(
        session, flow_id, events[:900], others, events[900:], events[:900], others, events[::-1]
    )
    assert row.retry_count == 952
    assert row.phase_execution_times["p"]["attempts"] == 950
    assert row.phase_execution_times["p"]["completed_at"] == events[-1].timestamp


async def test_past_32_counters_a_count_says_that_it_is_at_least_so_much(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    events = [event for n in range(40) for event in numbered(n, flow_id, f"process{n:03d}", n + 1)]
    row = await merged(session, flow_id, events[::-1], events)
    counts = row.flow_metadata["_enrichment"]["counts"]
    assert row.retry_count == sum(range(9, 41))
    assert counts["retries"]["at_least"] is True
    assert counts["attempts:p"]["at_least"] is True


async def test_an_event_that_an_earlier_version_counted_does_not_count_again(session: AsyncSession) -> None:
    event = at(7, uuid4(), FlowRetried)
    mark = f"{int(event.occurred_at.timestamp()):08x}{event.event_id.hex[-12:]}"
    flow_id = await new_flow(
        session, _CONTEXT, event.flow_id, retry_count=1, flow_metadata={"_enrichment": {"retries": [mark]}}
    )
    newer = numbered(9, flow_id, "process1", 1)[:1]
    assert (await merged(session, flow_id, [event], newer, [event])).retry_count == 2


async def test_a_repetition_does_not_touch_the_row(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    events = [
        transition(1, flow_id),
        *numbered(2, flow_id, "process1", 1),
        at(3, flow_id, MetadataUpdated, updates={"a": 1}),
        at(4, flow_id, StatusChanged, status="paused"),
        at(5, flow_id, ErrorOccurred, phase="p", error="boom"),
        at(6, flow_id, FlowRetried),
    ]
    await merged(session, flow_id, events)
    version = text(f"select xmin::text, ctid::text, updated_at from {_TABLE} where flow_id = :id")
    before = (await session.execute(version, {"id": flow_id})).one()
    await merged(session, flow_id, events[::-1], events[2:4])
    assert (await session.execute(version, {"id": flow_id})).one() == before


@pytest.mark.parametrize("word", ["paused", "archived", "processing", "deleted", "completed", "failed"])
async def test_a_status_that_the_application_wrote_is_not_undone_by_what_is_older(
    session: AsyncSession, word: str
) -> None:
    await session.execute(text(f"alter table {_TABLE} drop constraint chk_valid_flow_status"))
    flow_id = await new_flow(session, _CONTEXT)
    before = [
        at(1, flow_id, StatusChanged, status="processing"),
        at(2, flow_id, StatusChanged, status="completed"),
    ]
    await merged(session, flow_id, before)
    await session.execute(
        text(f"update {_TABLE} set flow_status = :word where flow_id = :id"), {"word": word, "id": flow_id}
    )
    older = [at(9, flow_id, StatusChanged, status="cancelled"), transition(10, flow_id)]
    assert (await merged(session, flow_id, before, older, before)).flow_status == word
    newer = new_event(StatusChanged, _CONTEXT, flow_id, status="waiting_for_approval", reopens=True)
    expected = word if word in {"archived", "deleted", "completed"} else "waiting_for_approval"
    assert (await merged(session, flow_id, [newer], before)).flow_status == expected


async def test_metadata_that_was_overwritten_whole_loses_no_count_and_revives_nothing(
    session: AsyncSession,
) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    old = [
        *numbered(1, flow_id, "process1", 7),
        at(2, flow_id, FlowRetried),
        at(3, flow_id, StatusChanged, status="processing"),
        at(4, flow_id, StatusChanged, status="paused"),
        at(4, flow_id, MemoryMeasured, metrics={"peak": 1}),
        at(5, flow_id, MemoryMeasured, metrics={"peak": 2}),
        at(5, flow_id, MetadataUpdated, updates={"k": "ours"}),
    ]
    await merged(session, flow_id, old)
    await session.execute(
        text(f'update {_TABLE} set flow_metadata = \'{{"k": "theirs"}}\' where flow_id = :id'),
        {"id": flow_id},
    )
    row = await merged(session, flow_id, *[[event] for event in old])
    assert (row.retry_count, row.phase_execution_times["p"]["attempts"]) == (8, 7)
    assert (row.flow_status, row.memory_usage_metrics) == ("paused", {"peak": 2})
    assert row.flow_metadata["k"] == "theirs"
    again = new_event(FlowRetried, _CONTEXT, flow_id, counted={"by": "process1", "number": 8})
    other = new_event(FlowRetried, _CONTEXT, flow_id, counted={"by": "process2", "number": 1})
    assert (await merged(session, flow_id, [again], [other], [again], old)).retry_count == 10


@pytest.mark.parametrize(
    "broken",
    [
        {"retries": {"a": 1}},
        {"retries": [None, {}]},
        {"clocks": 5},
        {"clocks": {"flow_metadata": []}},
        {"clocks": {"flow_metadata": {"a": 1}}},
        {"timings": "x"},
        {"status": "x"},
        {"status": {"latest": 4}},
        {"phase": {}},
        {"displaced": []},
        {"sorted": 1},
        {"counts": []},
        {"counts": {"retries": 1}},
        {"counts": {"retries": {"by": {"process1": "x"}}}},
        {"since": 1},
        7,
        [],
        "x",
    ],
)
async def test_broken_bookkeeping_is_set_aside_and_made_anew(session: AsyncSession, broken: Any) -> None:
    flow_id = await new_flow(session, _CONTEXT, flow_metadata={"_enrichment": broken, "kept": 1})
    neighbour = await new_flow(session, _CONTEXT)
    events = [
        *numbered(1, flow_id, "process1", 3),
        at(2, flow_id, FlowRetried),
        at(3, flow_id, MetadataUpdated, updates={"a": 1}),
        at(4, flow_id, StatusChanged, status="paused"),
        transition(5, flow_id),
    ]
    row = await merged(session, flow_id, [*events, at(1, neighbour, FlowRetried)], events)
    assert (row.retry_count, row.flow_status, row.flow_metadata["kept"]) == (4, "paused", 1)
    assert row.flow_metadata["_enrichment"]["displaced"]["_enrichment"] == broken


async def test_entries_of_other_writers_stand_where_their_time_puts_them(session: AsyncSession) -> None:
    times: list[Any] = [
        "2026-11-01T05:00:00+05:30",
        "2026-11-01T00:00:01Z",
        1761955200,
        1793491202500,
        "2026-11-01 00:00",
        "2026-02-30T00:00:00",
        "1950-01-01",
        None,
        "2026-11-01T00:00:03,25-0030",
    ]
    flow_id = await new_flow(session, _CONTEXT, error_history=[{"timestamp": each} for each in times])
    row = await merged(session, flow_id, [at(2, flow_id, ErrorOccurred, phase="p", error="x")])
    ours = "2026-11-01T00:00:02.000000+00:00"
    assert [entry["timestamp"] for entry in row.error_history] == [
        "2026-02-30T00:00:00",
        None,
        "1950-01-01",
        1761955200,
        "2026-11-01T05:00:00+05:30",
        "2026-11-01 00:00",
        "2026-11-01T00:00:01Z",
        ours,
        1793491202500,
        "2026-11-01T00:00:03,25-0030",
    ]


async def test_a_value_of_2_kb_is_whole_while_fewer_than_100_newer_keys_stand(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    values = {"text": "x" * 2_048, "object": {"a": "x" * 1_000, "b": "y" * 1_000}, "list": ["z" * 500] * 4}
    outside = {"resume_data": {"x": "r" * 3_500}, "pause_reason": "p" * 3_000}
    kinds: list[tuple[type[Any], str, str]] = [
        (MetadataUpdated, "updates", "flow_metadata"),
        (MemoryMeasured, "metrics", "memory_usage_metrics"),
    ]
    for kind, name, column in kinds:
        old = at(1, flow_id, kind, **{name: {**values, **outside}})
        small = [at(n + 2, flow_id, kind, **{name: {f"n{n}": n}}) for n in range(150)]
        row = (await merged(session, flow_id, [old], small[:95]))[column]
        assert {key: row[key] for key in values} == values
        row = (await merged(session, flow_id, small[95:]))[column]
        assert not values.keys() & row.keys()
        assert (outside.keys() <= row.keys()) == (column == "flow_metadata")


async def test_a_cut_keeps_the_type_of_a_value_and_says_so(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    big = {
        "text": "\x01é😀" * 900,
        "object": {f"k{n:02d}": "x" * 200 for n in range(15)},
        "list": ["y" * 200] * 15,
    }
    old = at(1, flow_id, MemoryMeasured, metrics=big)
    newer = [at(n + 2, flow_id, MemoryMeasured, metrics={f"n{n}": n}) for n in range(16)]
    metrics = (await merged(session, flow_id, [old], newer, [old])).memory_usage_metrics
    assert {key: type(metrics[key]) for key in big} == {key: type(value) for key, value in big.items()}
    for key in big:
        assert "…[truncated" in json.dumps(metrics[key], ensure_ascii=False)
        assert len(json.dumps(metrics[key], ensure_ascii=False).encode()) <= 2_060


async def test_a_row_that_is_committed_while_a_batch_is_merged_is_missing_and_not_foreign(
    session: AsyncSession,
    session_factory: async_sessionmaker[AsyncSession],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flow_id, look = uuid4(), vars(merges)["_rows"]

    async def look_late(session: AsyncSession, name: str, flow_ids: Any) -> Any:
        if name == "existing_flows":
            async with session_factory.begin() as other:
                await new_flow(other, _CONTEXT, flow_id)
        return await look(session, name, flow_ids)

    monkeypatch.setattr(merges, "_rows", look_late)
    outcome = await apply_events(session, [at(1, flow_id, FlowRetried)])
    assert outcome == MergeOutcome(missing=frozenset({flow_id}))


@pytest.mark.parametrize("of", ["", " of flow_status", " of flow_metadata, retry_count"])
async def test_a_trigger_that_skips_the_update_is_told_as_such(session: AsyncSession, of: str) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    await session.execute(
        text(
            "create function migration.skip() returns trigger language plpgsql"
            " as $$ begin return null; end $$"
        )
    )
    await session.execute(
        text(
            f"create trigger skip before update{of} on {_TABLE}"
            " for each row execute function migration.skip()"
        )
    )
    outcome = await apply_events(session, [at(1, flow_id, FlowRetried)])
    assert outcome == MergeOutcome(skipped=frozenset({flow_id}))
    await session.execute(
        text(
            "create or replace function migration.skip() returns trigger language plpgsql"
            " as $$ begin return new; end $$"
        )
    )
    for _ in range(2):
        assert await apply_events(session, [at(1, flow_id, FlowRetried)]) == MergeOutcome()


@pytest.mark.parametrize("column", ["phase_transitions", "flow_metadata", "phase_execution_times"])
async def test_a_column_of_type_json_is_refused_in_one_sentence(session: AsyncSession, column: str) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    await session.execute(text(f"alter table {_TABLE} alter {column} drop default"))
    await session.execute(text(f"alter table {_TABLE} alter {column} type json using {column}::json"))
    with pytest.raises(TablesUnsuitable, match="`flowctl doctor` says what to change"):
        await apply_events(
            session, [transition(1, flow_id), at(1, flow_id, PhaseTimed, phase="p", execution_time_ms=1)]
        )


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_serialization_failure_is_told_as_what_it_is(
    session_factory: async_sessionmaker[AsyncSession], level: str
) -> None:
    async with session_factory.begin() as session:
        flow_id = await new_flow(session, _CONTEXT)
    async with session_factory() as late, session_factory() as early:
        await late.connection(execution_options={"isolation_level": level})
        await row_of(late, flow_id)
        await apply_events(early, [at(1, flow_id, FlowRetried)])
        await early.commit()
        with pytest.raises(TransactionConflict, match="repeat yours"):
            await apply_events(late, [at(2, flow_id, FlowRetried)])
