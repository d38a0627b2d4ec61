import json
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.repository.backfill.reads import Scope, find_behind
from masterflow.status.manager import FlowStatusManager
from masterflow.tasks.backfill.catch_up import BackfillOptions, catch_up
from tests.support.events.child_rows import MAIN_PHASES, insert_child
from tests.support.events.flows import new_context, new_flow, row_of
from tests.support.events.july_rows import LATER_COLUMNS, JulyRow, july_rows

Sessions = async_sessionmaker[AsyncSession]

CONTEXT = new_context()


async def restore(sessions: Sessions) -> dict[UUID, JulyRow]:
    """Fill the tables as the dump does, the children's in the shape of July."""
    rows = {}
    async with sessions.begin() as session:
        for column in LATER_COLUMNS:
            await session.execute(text(f"alter table migration.discovery_flows drop column {column}"))
        for row in july_rows():
            flow_id = await new_flow(
                session, CONTEXT, flow_status=row.master_status, flow_persistence_data=row.persistence
            )
            await insert_child(session, CONTEXT, flow_id, row.child)
            rows[flow_id] = row
    return rows


async def test_a_real_dump_is_caught_up_once_by_what_its_columns_say(session_factory: Sessions) -> None:
    rows = await restore(session_factory)
    async with session_factory() as session:
        behind = (await find_behind(session, Scope())).behind
    assert set(behind) == set(rows)
    first = await catch_up(session_factory, behind, Scope(), BackfillOptions())
    second = await catch_up(session_factory, behind, Scope(), BackfillOptions())
    assert (len(rows), first.changed, first.failed, second.changed) == (18, 15, {}, 0)
    contradicting = []
    async with session_factory() as session:
        assert (await find_behind(session, Scope())).behind == []
        for flow_id, row in rows.items():
            found = await row_of(session, flow_id)
            complete = list(MAIN_PHASES[: row.complete])
            assert [entry["phase"] for entry in found["phase_transitions"]] == complete
            assert found["flow_persistence_data"].get("current_phase", "") == "".join(complete[-1:])
            assert found["flow_persistence_data"].items() >= row.persistence.items()
            assert found["phase_execution_times"] == {}
            assert found["flow_status"] == row.master_status
            snapshot = found["flow_metadata"].get("progress_snapshot", {})
            assert snapshot.get("child_status", row.child_status) == row.child_status
            contradicting += (
                [(row.complete, *snapshot["contradictions"])] if "contradictions" in snapshot else []
            )
            await shows_no_invented_time(session, flow_id)
    last_two = ("dependency_analysis", "tech_debt_assessment")
    assert contradicting == [(6, *last_two)] * 2 + [(5, "dependency_analysis")] * 3 + [(4, "asset_inventory")]


async def shows_no_invented_time(session: AsyncSession, flow_id: UUID) -> None:
    manager = FlowStatusManager(session, CONTEXT)
    status = await manager.get_flow_status(flow_id, include_details=True)
    timeline = await manager.get_timeline(flow_id)
    errors = (await manager.get_errors(flow_id)).errors
    assert "1970-" not in status.model_dump_json() + timeline.model_dump_json() + json.dumps(errors)
    assert timeline.bars == []
    assert all(not phase.attempts for phase in status.phase_details)


async def test_percentages_in_one_answer_agree_or_say_why_not(session_factory: Sessions) -> None:
    rows = await restore(session_factory)
    await catch_up(session_factory, list(rows), Scope(), BackfillOptions())
    notes = set()
    async with session_factory() as session:
        for flow_id, row in rows.items():
            answer = await FlowStatusManager(session, CONTEXT).get_flow_status(flow_id, include_details=True)
            assert answer.child_flow_status is not None
            child = answer.child_flow_status
            assert (child.completed_phases, child.phases) == (row.complete, 6)
            told = {answer.progress_percentage, child.progress_percentage}
            told |= {(answer.last_progress_update or {}).get("progress")}  # type: ignore[arg-type]
            assert (len(told - {None}) == 1) is (answer.progress_note is None)
            notes.add(answer.progress_note)
    assert notes == {
        None,
        "Completed, with its phases at 83.33 %.",
        "Completed, with its phases at 66.7 %.",
        "Its child row says 0 %.",
    }
