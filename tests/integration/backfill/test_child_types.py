from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.repository.backfill.reads import Page, Scope, find_behind, find_orphans, read_pairs
from masterflow.repository.child_tables import unfit_tables
from masterflow.status.manager import FlowStatusManager
from masterflow.tasks.backfill.catch_up import BackfillOptions, catch_up
from tests.support.events import child_rows
from tests.support.events.child_rows import WRITTEN_AT, insert_child, insert_row
from tests.support.events.flows import new_flow, row_of

Sessions = async_sessionmaker[AsyncSession]

TABLES = Path(child_rows.__file__).with_name("child_tables.sql").read_text()


@pytest.fixture
async def sessions(session_factory: Sessions) -> Sessions:
    """Sessions on a database with the child tables of other types, too."""
    async with session_factory.begin() as session:
        for statement in TABLES.split(";\n"):
            await session.execute(text(statement))
    return session_factory


async def add_flow(
    sessions: Sessions, context: FlowContext, flow_type: str, columns: dict[str, Any], *, key: str = "flow_id"
) -> UUID:
    """Add a master and the child row that it has in the table of its type."""
    async with sessions.begin() as session:
        flow_id = await new_flow(session, context, flow_type=flow_type)
        child = {key: uuid4(), "master_flow_id": flow_id, "flow_name": "a flow", "updated_at": WRITTEN_AT}
        await insert_row(session, f"{flow_type}_flows", {**child, **context.model_dump(), **columns})
    return flow_id


async def found(sessions: Sessions) -> Page:
    async with sessions() as session:
        return await find_behind(session, Scope())


async def caught_up(sessions: Sessions, flow_id: UUID, **options: bool) -> dict[str, Any]:
    """Return the row after a backfill, which a second one leaves as it is."""
    assert flow_id in (await found(sessions)).behind
    assert (await catch_up(sessions, [flow_id], Scope(), BackfillOptions(**options))).failed == {}
    assert flow_id not in (await found(sessions)).behind
    async with sessions() as session:
        once = dict(await row_of(session, flow_id))
    assert (await catch_up(sessions, [flow_id], Scope(), BackfillOptions(**options))).changed == 0
    return once


def told(row: dict[str, Any]) -> list[str]:
    assert [f"{it['phase']}:{it['status']}" for it in row["phase_transitions"]] == row["flow_metadata"][
        "phase_transitions"
    ]
    told: list[str] = row["flow_metadata"]["phase_transitions"]
    return told


async def test_an_assessment_is_told_by_the_results_that_it_kept(
    sessions: Sessions, context: FlowContext
) -> None:
    ended = {"persisted_at": "2026-02-28T10:00:00", "applications": [1, 2]}
    results = {
        "Readiness Assessment": {**ended, "status": "completed"},
        "complexity_analysis": {**ended, "status": "failed"},
        "dependency_analysis": ended,
        "tech_debt_assessment": {"status": "completed"},
    }
    columns = {"status": "in_progress", "progress": 57, "current_phase": "risk_assessment"}
    flow_id = await add_flow(sessions, context, "assessment", {**columns, "phase_results": results}, key="id")
    row = await caught_up(sessions, flow_id)
    assert told(row) == [
        "readiness_assessment:completed",
        "dependency_analysis:completed",
        "risk_assessment:processing",
    ]
    assert row["flow_persistence_data"]["current_phase"] == "risk_assessment"
    assert row["flow_metadata"]["progress_snapshot"]["evidence"] == {
        "readiness_assessment": "results",
        "dependency_analysis": "results",
        "current_phase": "current_phase",
        "progress_percentage": "progress",
    }
    assert row["flow_metadata"]["last_progress_update"]["progress"] == 57


async def test_a_collection_that_is_completed_in_time_is_finished_and_its_phases_are_not_guessed(
    sessions: Sessions, context: FlowContext
) -> None:
    columns = {
        "status": "completed",
        "current_phase": "finalization",
        "progress_percentage": 100.0,
        "phase_results": {"platform_detection": {"platforms": 2}, "gap_analysis": {"gaps": []}},
        "completed_at": WRITTEN_AT,
        "error_message": "a source was away",
    }
    flow_id = await add_flow(sessions, context, "collection", columns)
    row = await caught_up(sessions, flow_id, repair_status=True)
    assert row["flow_status"] == "completed"
    # Phases may be left out, so neither the last one nor a hundred percent proves another.
    assert row["phase_transitions"] == []
    assert row["flow_persistence_data"]["current_phase"] == "synthesis"
    assert row["flow_metadata"]["progress_snapshot"]["progress_percentage"] == 100
    assert [entry["error"] for entry in row["error_history"]] == ["a source was away"]


@pytest.mark.parametrize(("progress", "status"), [(100, "completed"), (57, "initialized")])
async def test_an_assessment_is_finished_if_its_status_and_all_of_its_progress_agree(
    sessions: Sessions, context: FlowContext, progress: int, status: str
) -> None:
    columns = {"status": "completed", "progress": progress, "current_phase": "risk_assessment"}
    flow_id = await add_flow(sessions, context, "assessment", columns)
    row = await caught_up(sessions, flow_id, repair_status=True)
    assert row["flow_status"] == status


async def test_a_decommission_is_told_by_the_words_in_its_columns(
    sessions: Sessions, context: FlowContext
) -> None:
    columns = {
        "status": "data_migration",
        "current_phase": "data_migration",
        "decommission_planning_status": "completed",
        "data_migration_status": "in_progress",
    }
    flow_id = await add_flow(sessions, context, "decommission", columns)
    row = await caught_up(sessions, flow_id)
    assert told(row) == ["decommission_planning:completed", "data_migration:processing"]
    snapshot = row["flow_metadata"]["progress_snapshot"]
    assert (snapshot["progress_percentage"], snapshot["evidence"]["progress_percentage"]) == (
        33.33,
        "columns",
    )
    async with sessions() as session:
        answer = await FlowStatusManager(session, context).get_flow_status(flow_id, include_details=True)
    child = answer.child_flow_status
    assert child is not None
    assert (child.progress_percentage, child.completed_phases, child.phases) == (33.33, 1, 3)
    assert (answer.progress_percentage, answer.progress_note) == (33.33, None)


async def test_each_type_has_its_own_table_and_only_that(sessions: Sessions, context: FlowContext) -> None:
    async with sessions.begin() as session:
        other = await new_flow(session, context, flow_type="assessment")
        await insert_child(session, context, other, {"data_import_completed": True})
        orphan, named = uuid4(), uuid4()
        lone = {"id": uuid4(), "flow_id": orphan, "master_flow_id": named, "flow_name": "a flow"}
        await insert_row(session, "collection_flows", lone | context.model_dump())
        assert await find_orphans(session, Scope()) == {orphan: named}
    page = await found(sessions)
    assert (page.scanned, page.behind, page.several, page.foreign) == (1, [], [], [])
    assert (await catch_up(sessions, [other], Scope(), BackfillOptions())).skipped == {
        str(other): "no child of its tenant"
    }


async def test_a_table_that_cannot_be_matched_is_named_and_costs_the_others_nothing(
    sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await add_flow(sessions, context, "decommission", {"status": "failed"})
    role = f"reader_{uuid4().hex}"
    async with sessions.begin() as session:
        for statement in (
            "alter table migration.collection_flows alter client_account_id type int using 1",
            f"create role {role}",
            f"grant usage on schema migration to {role}",
            f"grant select, update on migration.crewai_flow_state_extensions to {role}",
            f"grant select on migration.decommission_flows, migration.discovery_flows to {role}",
        ):
            await session.execute(text(statement))
    assert "failed" in str((await caught_up(sessions, flow_id))["flow_metadata"]["progress_snapshot"])
    async with sessions.begin() as session:
        await session.execute(text(f"set local role {role}"))
        assert await unfit_tables(session) == {
            "migration.assessment_flows": "this role may not read it; grant SELECT",
            "migration.collection_flows": "this role may not read it; grant SELECT",
        }
        pairs = await read_pairs(session, [flow_id], Scope())
        assert [pair.child.status for pair in pairs[flow_id]] == ["failed"]
    async with sessions.begin() as session:
        await session.execute(text(f"drop owned by {role}"))
        await session.execute(text(f"drop role {role}"))
        assert await unfit_tables(session) == {
            "migration.collection_flows": "client_account_id is integer, not uuid"
        }


async def test_without_child_tables_nothing_is_behind(
    session_factory: Sessions, context: FlowContext
) -> None:
    async with session_factory.begin() as session:
        await session.execute(text("drop table migration.discovery_flows"))
        flow_id = await new_flow(session, context)
        page = await find_behind(session, Scope())
        assert (page.scanned, page.behind, page.several, page.foreign) == (1, [], [], [])
        assert await find_orphans(session, Scope()) == {}
        assert await read_pairs(session, [flow_id], Scope()) == {}
