import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.domain.children.child_flow import ChildFlow
from masterflow.domain.children.evidence import weigh
from masterflow.domain.children.synthesis import plan_backfill
from masterflow.domain.events import (
    AnyEvent,
    ErrorOccurred,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    new_event,
)
from masterflow.repository.backfill.reads import (
    Scope,
    behind_search,
    carry_out,
    find_behind,
    find_orphans,
    lock_backfill,
    read_pairs,
)
from masterflow.repository.database import session_factory as make_session_factory
from masterflow.repository.merge.merges import apply_events
from masterflow.tasks.backfill.catch_up import BackfillOptions, BackfillSummary, catch_up
from tests.support.events.child_rows import MAIN_COLUMNS, SHAPES, WRITTEN_AT, new_child, old_document
from tests.support.events.flows import bytes_of, new_context, new_flow, row_of
from tests.support.events.strategies import event_sets
from tests.support.servers.databases import engine_for, fill_with_tables, temporary_database

Sessions = async_sessionmaker[AsyncSession]

_CONTEXT = new_context()
_COLUMN_BYTES = 256 * 1024


async def add_flow(sessions: Sessions, *, master: Mapping[str, Any] | None = None, **columns: Any) -> UUID:
    """Add a master and its child."""
    async with sessions.begin() as session:
        flow_id = await new_flow(session, _CONTEXT, **(master or {}))
        await new_child(session, _CONTEXT, flow_id, **columns)
    return flow_id


async def backfill(
    sessions: Sessions, *flow_ids: UUID, scope: Scope | None = None, **options: bool
) -> BackfillSummary:
    return await catch_up(sessions, flow_ids, scope or Scope(), BackfillOptions(**options))


async def row(sessions: Sessions, flow_id: UUID) -> dict[str, Any]:
    async with sessions() as session:
        return dict(await row_of(session, flow_id))


async def behind(sessions: Sessions, scope: Scope | None = None) -> list[UUID]:
    async with sessions() as session:
        return (await find_behind(session, scope or Scope())).behind


async def report_live(sessions: Sessions, *events: AnyEvent) -> None:
    async with sessions.begin() as session:
        await apply_events(session, list(events))


def live(kind: type[Any], flow_id: UUID, **fields: Any) -> AnyEvent:
    event: AnyEvent = new_event(kind, _CONTEXT, flow_id, **fields)
    return event


@pytest.mark.parametrize("name", SHAPES)
async def test_what_is_read_of_a_row_proves_what_the_whole_row_proves(
    session_factory: Sessions, name: str
) -> None:
    flow_id = await add_flow(session_factory, **SHAPES[name])
    async with session_factory() as session:
        [pair] = (await read_pairs(session, [flow_id], Scope()))[flow_id]
    assert len(json.dumps(pair.child.document)) < 16_000
    whole = ChildFlow(
        **{**pair.child.__dict__, "document": SHAPES[name].get("crewai_state_data", {}), "flow_id": flow_id}
    )
    assert weigh(whole) == weigh(pair.child)


@pytest.mark.parametrize("name", SHAPES)
async def test_a_row_is_caught_up_once_within_its_bounds_and_then_left_alone(
    session_factory: Sessions, name: str
) -> None:
    flow_id = await add_flow(session_factory, **SHAPES[name])
    assert await behind(session_factory) == [flow_id]
    first = await backfill(session_factory, flow_id)
    async with session_factory() as session:
        once = dict(await bytes_of(session, flow_id))
    assert first.changed == (name != "a test")
    assert await behind(session_factory) == []
    second = await backfill(session_factory, flow_id)
    async with session_factory() as session:
        assert dict(await bytes_of(session, flow_id)) == once
    assert (second.changed, second.unchanged) == (0, 1)
    for column, value in once.items():
        if isinstance(value, str):
            assert len(value) < 10_000, column
            assert not any(kept_out in value for kept_out in ("hunter2", "app-prd-", "u-77", "prose"))


async def test_the_row_tells_what_the_child_proves(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, **SHAPES["newer, waiting"])
    await backfill(session_factory, flow_id)
    found = await row(session_factory, flow_id)
    assert [(entry["phase"], entry["status"]) for entry in found["phase_transitions"]] == [
        ("data_import", "completed"),
        ("field_mapping_generation", "processing"),
    ]
    snapshot = found["flow_metadata"]["progress_snapshot"]
    assert snapshot["completed_phases"] == ["data_import"]
    assert snapshot["counts"]["records_valid"] == 405
    assert found["flow_metadata"]["last_progress_update"]["progress"] == 33.3
    assert found["flow_persistence_data"]["current_phase"] == "field_mapping_generation"
    assert found["phase_execution_times"] == {}
    assert found["flow_status"] == "initialized"


async def test_a_changed_child_is_found_again_and_only_what_is_new_is_added(
    session_factory: Sessions,
) -> None:
    flow_id = await add_flow(session_factory, data_import_completed=True)
    await backfill(session_factory, flow_id)
    async with session_factory.begin() as session:
        await session.execute(
            text(
                "update migration.discovery_flows set field_mapping_completed = true,"
                " updated_at = updated_at + interval '1 hour' where flow_id = :flow_id"
            ),
            {"flow_id": flow_id},
        )
    assert await behind(session_factory) == [flow_id]
    summary = await backfill(session_factory, flow_id)
    assert summary.added == {"phase_transitioned": 1, "metadata_updated": 1}
    found = await row(session_factory, flow_id)
    assert [entry["phase"] for entry in found["phase_transitions"]] == [
        "data_import",
        "field_mapping_generation",
    ]
    assert len(found["flow_metadata"]["progress_snapshot"]["completed_phases"]) == 2


async def write_child(sessions: Sessions, flow_id: UUID, assignments: str) -> None:
    """Change the child as the application does that leaves its `updated_at` alone."""
    async with sessions.begin() as session:
        await session.execute(
            text(f"update migration.discovery_flows set {assignments} where flow_id = :flow_id"),
            {"flow_id": flow_id},
        )


async def test_what_a_later_state_of_the_child_proves_no_longer_is_withdrawn(
    session_factory: Sessions,
) -> None:
    flow_id = await add_flow(
        session_factory,
        data_import_completed=True,
        field_mapping_completed=True,
        current_phase="data_cleansing",
    )
    await backfill(session_factory, flow_id)
    await write_child(
        session_factory, flow_id, "field_mapping_completed = false, current_phase = 'field_mapping'"
    )
    assert await behind(session_factory) == [flow_id]
    assert (await backfill(session_factory, flow_id)).changed == 1
    found = await row(session_factory, flow_id)
    assert [(entry["phase"], entry["status"]) for entry in found["phase_transitions"]] == [
        ("data_import", "completed"),
        ("field_mapping_generation", "processing"),
    ]
    assert found["flow_metadata"]["phase_transitions"] == [
        "data_import:completed",
        "field_mapping_generation:processing",
    ]
    assert found["flow_persistence_data"]["current_phase"] == "field_mapping_generation"
    assert found["flow_metadata"]["progress_snapshot"]["completed_phases"] == ["data_import"]
    assert found["flow_metadata"]["last_progress_update"]["phase"] == "field_mapping_generation"


async def test_the_last_known_phase_stands_where_nobody_reported_one(session_factory: Sessions) -> None:
    done: dict[str, Any] = dict.fromkeys(MAIN_COLUMNS, True)
    flow_id = await add_flow(session_factory, **done)
    await backfill(session_factory, flow_id)
    found = await row(session_factory, flow_id)
    assert found["flow_persistence_data"]["current_phase"] == "tech_debt_assessment"
    await report_live(
        session_factory, live(PhaseTransitioned, flow_id, phase="data_import", status="processing")
    )
    await write_child(session_factory, flow_id, "progress_percentage = 3")
    await backfill(session_factory, flow_id)
    assert (await row(session_factory, flow_id))["flow_persistence_data"]["current_phase"] == "data_import"


async def written_at(sessions: Sessions, flow_id: UUID) -> Any:
    query = "select updated_at from migration.crewai_flow_state_extensions where flow_id = :flow_id"
    async with sessions() as session:
        return await session.scalar(text(query), {"flow_id": flow_id})


async def test_evidence_alone_leaves_the_time_of_the_last_change(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, **SHAPES["old and complete"])
    before = await written_at(session_factory, flow_id)
    assert (await backfill(session_factory, flow_id)).changed == 1
    assert await written_at(session_factory, flow_id) == before
    await backfill(session_factory, flow_id, repair_status=True)
    assert await written_at(session_factory, flow_id) > before


async def test_a_flow_that_is_up_to_date_is_found_again_when_asked(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, data_import_completed=True)
    await backfill(session_factory, flow_id)
    assert await behind(session_factory) == []
    assert await behind(session_factory, Scope(is_again=True)) == [flow_id]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "paused"])
async def test_a_child_with_nothing_but_its_status_leaves_a_trace(
    session_factory: Sessions, status: str
) -> None:
    flow_id = await add_flow(session_factory, status=status)
    assert (await backfill(session_factory, flow_id)).changed == 1
    found = await row(session_factory, flow_id)
    assert found["flow_metadata"]["progress_snapshot"]["child_status"] == status
    assert found["flow_status"] == "initialized"


async def test_a_dry_run_tells_what_would_change_and_changes_nothing(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, data_import_completed=True)
    before = await row(session_factory, flow_id)
    summary = await backfill(session_factory, flow_id, is_dry=True)
    assert (summary.would_change, summary.changed) == (1, 0)
    assert summary.would_add == {str(flow_id): ["data_import:completed", "metadata_updated"]}
    assert await row(session_factory, flow_id) == before
    assert await behind(session_factory) == [flow_id]


async def test_a_live_time_takes_the_place_of_a_backfilled_one_and_counts_one_attempt(
    session_factory: Sessions,
) -> None:
    document = old_document(import_ended_at="2026-02-03T08:14:22.377915")
    flow_id = await add_flow(session_factory, crewai_state_data=document)
    await backfill(session_factory, flow_id)
    assert (await row(session_factory, flow_id))["phase_execution_times"]["data_import"]["attempts"] == 0
    await report_live(session_factory, live(PhaseTimed, flow_id, phase="data_import", execution_time_ms=5))
    timed = (await row(session_factory, flow_id))["phase_execution_times"]["data_import"]
    assert (timed["execution_time_ms"], timed["attempts"]) == (5, 1)
    await backfill(session_factory, flow_id)
    timed = (await row(session_factory, flow_id))["phase_execution_times"]["data_import"]
    assert timed.keys() == {"execution_time_ms", "completed_at", "attempts"}


async def test_what_other_programs_wrote_into_the_master_stays(session_factory: Sessions) -> None:
    old_entry = {
        "phase": "attribute_mapping",
        "status": "completed",
        "timestamp": "2025-01-01T00:00:00",
        "metadata": {},
    }
    master = {
        "phase_transitions": [old_entry],
        "phase_execution_times": {"data_import": 12},
        "flow_metadata": {"last_progress_update": {"progress": 7}, "own": 1},
        "flow_persistence_data": {"current_phase": "data_import", "raw": [1]},
        "error_history": ...,
    }
    flow_id = await add_flow(
        session_factory,
        master=master,
        current_phase="inventory",
        error_message="boom",
        crewai_state_data=old_document(),
    )
    await backfill(session_factory, flow_id)
    found = await row(session_factory, flow_id)
    assert old_entry in found["phase_transitions"]
    assert "field_mapping_generation" not in [entry["phase"] for entry in found["phase_transitions"]]
    assert found["phase_execution_times"] == {"data_import": 12}
    assert found["flow_metadata"]["last_progress_update"] == {"progress": 7}
    assert found["flow_metadata"]["own"] == 1
    assert found["flow_persistence_data"] == {"current_phase": "data_import", "raw": [1]}
    assert [entry["error"] for entry in found["error_history"]] == ["boom"]


@pytest.mark.parametrize("metadata", [..., None, [1], "text"])
async def test_odd_columns_of_a_master_are_survived(session_factory: Sessions, metadata: Any) -> None:
    odd = {"phase_transitions": {"no": "list"}, "error_history": "text", "phase_execution_times": [1]}
    master = {**odd, "flow_metadata": metadata, "flow_persistence_data": [1]}
    flow_id = await add_flow(session_factory, master=master, crewai_state_data=old_document())
    summary = await backfill(session_factory, flow_id)
    assert summary.failed == {}
    await backfill(session_factory, flow_id)
    found = await row(session_factory, flow_id)
    assert len(found["phase_transitions"]) == 3
    assert found["flow_metadata"]["_enrichment"]["displaced"]["phase_transitions"] == {"no": "list"}


async def test_the_status_is_raised_only_on_demand(session_factory: Sessions) -> None:
    done: dict[str, Any] = dict.fromkeys(MAIN_COLUMNS, True)
    flow_id = await add_flow(session_factory, **done)
    await backfill(session_factory, flow_id)
    assert (await row(session_factory, flow_id))["flow_status"] == "initialized"
    await backfill(session_factory, flow_id, repair_status=True)
    assert (await row(session_factory, flow_id))["flow_status"] == "completed"


async def test_what_does_not_fit_together_is_told_and_never_guessed(session_factory: Sessions) -> None:
    stranger = new_context()
    async with session_factory.begin() as session:
        several = await new_flow(session, _CONTEXT)
        await new_child(session, _CONTEXT, several)
        await new_child(session, _CONTEXT, uuid4(), master_flow_id=several, data_import_completed=True)
        foreign = await new_flow(session, _CONTEXT)
        await new_child(session, stranger, foreign, data_import_completed=True)
        childless = await new_flow(session, _CONTEXT)
        orphan = await new_child(session, _CONTEXT, uuid4())
        page = await find_behind(session, Scope())
        orphans = await find_orphans(session, Scope())
    assert (page.behind, page.several, page.foreign) == ([], [several], [foreign])
    assert orphans == {orphan: orphan}
    summary = await backfill(session_factory, several, foreign, childless)
    assert summary.skipped.keys() == {str(several), str(foreign), str(childless)}
    for flow_id in (several, foreign, childless):
        assert (await row(session_factory, flow_id))["phase_transitions"] == []


async def test_a_child_is_found_by_the_master_it_names(session_factory: Sessions) -> None:
    async with session_factory.begin() as session:
        flow_id = await new_flow(session, _CONTEXT)
        await new_child(session, _CONTEXT, uuid4(), master_flow_id=flow_id, data_import_completed=True)
    assert await behind(session_factory) == [flow_id]
    assert (await backfill(session_factory, flow_id)).changed == 1


async def test_nothing_of_another_tenant_is_read_or_written(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, data_import_completed=True)
    elsewhere = Scope(client_account_id=uuid4())
    assert await behind(session_factory, elsewhere) == []
    assert (await backfill(session_factory, flow_id, scope=elsewhere)).skipped.keys() == {str(flow_id)}
    own = Scope(client_account_id=_CONTEXT.client_account_id, engagement_id=_CONTEXT.engagement_id)
    assert await behind(session_factory, own) == [flow_id]
    assert await behind(session_factory, replace(own, engagement_id=uuid4())) == []


async def test_pages_go_from_the_newest_flow_to_the_oldest_and_keep_to_the_window(
    session_factory: Sessions,
) -> None:
    flow_ids = [await add_flow(session_factory, data_import_completed=True) for _ in range(7)]
    async with session_factory.begin() as session:
        for days, flow_id in enumerate(flow_ids):
            await session.execute(
                text(
                    "update migration.crewai_flow_state_extensions"
                    " set created_at = case when :days < 6 then now() - :days * interval '1 day' end"
                    " where flow_id = :flow_id"
                ),
                {"days": days, "flow_id": flow_id},
            )
    now = datetime.now(WRITTEN_AT.tzinfo)
    scope = Scope(since=now - timedelta(days=4, hours=12))
    found, place = [], None
    async with session_factory() as session:
        while True:
            page = await find_behind(session, scope, after=place, page_size=2)
            found.append(page.behind)
            if (place := page.end) is None:
                break
    undated = flow_ids[6]
    assert [set(part) - {undated} for part in found] == [set(flow_ids[:2]), set(flow_ids[2:4]), {flow_ids[4]}]
    assert undated in found[0]


def scans(plan: dict[str, Any]) -> set[tuple[str, str]]:
    """Return how a plan finds the rows of our tables."""
    relation = plan.get("Relation Name", "")
    found = {(relation, plan.get("Index Name", plan["Node Type"]))} if relation else set()
    return found.union(*(scans(child) for child in plan.get("Plans", [])))


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_is_found_by_indexes_alone(session_factory: Sessions, mode: str) -> None:
    async with session_factory() as session:
        await session.execute(
            text(
                "with flow as (insert into migration.crewai_flow_state_extensions"
                " (id, flow_id, client_account_id, engagement_id, user_id, flow_type, created_at)"
                " select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'u',"
                " 'discovery', now() - number * interval '1 second'"
                " from generate_series(1, 50000) as number returning *)"
                " insert into migration.discovery_flows"
                " (id, flow_id, client_account_id, engagement_id, user_id, flow_name)"
                " select gen_random_uuid(), flow_id, client_account_id, engagement_id, 'u', 'a flow'"
                " from flow"
            )
        )
        await session.execute(text("analyze"))
        await session.execute(text(f"set plan_cache_mode = {mode}"))
        page = {"before": "infinity", "before_id": UUID(int=2**128 - 1), "page_size": 1_000, "rules": "1."}
        explain = text(f"explain (format json) {(await behind_search(session)).text}")
        for since in (None, datetime.now(WRITTEN_AT.tzinfo) - timedelta(days=7)):
            plan = (await session.execute(explain, Scope(since=since).arguments() | page)).scalar_one()
            assert scans(plan[0]["Plan"]) == {
                ("crewai_flow_state_extensions", "ix_crewai_flow_state_extensions_created_at"),
                ("discovery_flows", "discovery_flows_flow_id_key"),
                ("discovery_flows", "ix_migration_discovery_flows_master_flow_id"),
            }


async def test_one_run_at_a_time(session_factory: Sessions) -> None:
    async with session_factory.begin() as one, session_factory.begin() as other:
        assert await lock_backfill(one)
        assert not await lock_backfill(other)
    async with session_factory.begin() as next_one:
        assert await lock_backfill(next_one)


async def test_one_flow_that_postgres_refuses_takes_no_other_along(session_factory: Sessions) -> None:
    flow_ids = [await add_flow(session_factory, data_import_completed=True) for _ in range(5)]
    async with session_factory.begin() as session:
        await session.execute(
            text(
                "alter table migration.crewai_flow_state_extensions add check"
                f" (flow_id <> '{flow_ids[2]}' or phase_transitions = '[]') not valid"
            )
        )
    summary = await backfill(session_factory, *flow_ids)
    assert summary.changed == 4
    assert summary.failed.keys() == {str(flow_ids[2])}
    assert await behind(session_factory) == [flow_ids[2]]


async def test_live_writers_lose_nothing_beside_a_backfill(session_factory: Sessions) -> None:
    flow_ids = [await add_flow(session_factory, **SHAPES["old and complete"]) for _ in range(4)]

    async def write(flow_id: UUID) -> None:
        for number in range(15):
            await report_live(
                session_factory,
                live(PhaseTransitioned, flow_id, phase="data_import", status="processing"),
                live(ErrorOccurred, flow_id, phase="inventory", error=f"live {number}"),
                live(ProgressReported, flow_id, snapshot={"live": number}),
            )

    async def catch_up_again_and_again() -> None:
        for _ in range(10):
            await backfill(session_factory, *flow_ids)

    await asyncio.gather(*map(write, flow_ids), catch_up_again_and_again())
    for flow_id in flow_ids:
        found = await row(session_factory, flow_id)
        entries = [entry for entry in found["phase_transitions"] if "source" not in entry["metadata"]]
        assert len(entries) == 15
        assert [entry["error"] for entry in found["error_history"]][-15:] == [f"live {n}" for n in range(15)]
        assert found["flow_metadata"]["last_progress_update"] == {"live": 14}
        assert len({entry["id"] for entry in found["phase_transitions"]}) == len(found["phase_transitions"])


# -- whatever the order

_ROWS = st.sampled_from(
    [SHAPES[name] for name in ("old and complete", "newer, waiting", "failed", "odd types")]
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def module_engine(runner: asyncio.Runner, postgres_server: str) -> Iterator[AsyncEngine]:
    with temporary_database(postgres_server) as url:
        fill_with_tables(url)
        engine = engine_for(url)
        yield engine
        runner.run(engine.dispose())


def live_part(found: dict[str, Any]) -> dict[str, Any]:
    """Return what of a row was not synthesised."""
    lists = {
        name: [entry for entry in found[name] if entry.get(key, {}).get("source") != "backfill"]
        for name, key in (("phase_transitions", "metadata"), ("error_history", "details"))
    }
    metadata = {
        key: value
        for key, value in found["flow_metadata"].items()
        if key not in {"_enrichment", "phase_transitions"} and not _is_synthesised(value)
    }
    times = {
        phase: {name: timed[name] for name in ("execution_time_ms", "completed_at", "attempts")}
        for phase, timed in found["phase_execution_times"].items()
        if timed["attempts"] > 0
    }
    kept = (
        "agent_collaboration_log",
        "memory_usage_metrics",
        "agent_performance_metrics",
        "flow_status",
        "retry_count",
    )
    return {**lists, "metadata": metadata, "times": times} | {name: found[name] for name in kept}


def _is_synthesised(value: Any) -> bool:
    return isinstance(value, dict) and value.get("source") == "backfill"


async def _end(
    sessions: Sessions, columns: dict[str, Any], parts: list[list[AnyEvent] | None]
) -> dict[str, Any]:
    """Return the live part of a row after these batches of live events, where None is a backfill."""
    flow_id = await add_flow(sessions, **columns)
    for part in parts:
        if part is None:
            summary = await backfill(sessions, flow_id)
            assert summary.failed == summary.skipped == {}
        else:
            await report_live(sessions, *(event.model_copy(update={"flow_id": flow_id}) for event in part))
    found = await row(sessions, flow_id)
    texts = [json.dumps(value, ensure_ascii=False) for value in found.values()]
    assert all(len(text.encode()) < _COLUMN_BYTES for text in texts)
    return live_part(found)


@settings(max_examples=20)
@given(data=st.data(), columns=_ROWS, cut=st.floats(0, 1))
def test_backfills_before_between_and_after_live_events_leave_those_the_same(
    runner: asyncio.Runner,
    module_engine: AsyncEngine,
    data: st.DataObject,
    columns: dict[str, Any],
    cut: float,
) -> None:
    events = sorted(data.draw(event_sets(_CONTEXT)), key=lambda event: event.stamp)
    place = round(len(events) * cut)
    first, second = events[:place], events[place:]
    schedules: list[list[list[AnyEvent] | None]] = [
        [first, second],
        [None, first, second],
        [first, None, None, second],
        [first, second, None],
        [None, second, None, first, None],
    ]
    sessions = make_session_factory(module_engine)

    async def ends() -> list[dict[str, Any]]:
        return [await _end(sessions, columns, schedule) for schedule in schedules]

    plain, *others = runner.run(ends())
    for other in others:
        assert other == plain


async def test_an_interrupted_transaction_leaves_the_flow_behind(session_factory: Sessions) -> None:
    flow_id = await add_flow(session_factory, data_import_completed=True)
    before = await row(session_factory, flow_id)
    async with session_factory() as session:
        pairs = await read_pairs(session, [flow_id], Scope())
        plan = plan_backfill(weigh(pairs[flow_id][0].child), pairs[flow_id][0].standing)
        await carry_out(session, [plan])
        await session.rollback()
    assert await row(session_factory, flow_id) == before
    assert await behind(session_factory) == [flow_id]


async def test_a_table_without_the_later_column_is_read(
    session_factory: Sessions, context: FlowContext
) -> None:
    flow_id = await add_flow(session_factory, data_import_completed=True)
    async with session_factory.begin() as session:
        await session.execute(
            text("alter table migration.discovery_flows drop column data_validation_completed")
        )
    assert (await backfill(session_factory, flow_id)).changed == 1
