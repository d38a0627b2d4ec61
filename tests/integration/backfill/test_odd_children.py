import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.repository.backfill.reads import Scope, find_behind, find_orphans
from masterflow.status.manager import FlowStatusManager
from masterflow.tasks.backfill.catch_up import BackfillOptions, catch_up
from tests.support.events.child_rows import new_child
from tests.support.events.flows import new_flow, row_of

Sessions = async_sessionmaker[AsyncSession]

_ROWS = [{"hostname": f"app-{number}", "note": "x" * 50} for number in range(3_000)]
_ENDED = {"started_at": "2026-02-03T08:00:00", "completed_at": "2026-02-03T08:00:01.5"}


async def add_flow(sessions: Sessions, context: FlowContext, **columns: Any) -> UUID:
    async with sessions.begin() as session:
        flow_id = await new_flow(session, context)
        await new_child(session, context, flow_id, **columns)
    return flow_id


async def caught_up(sessions: Sessions, *flow_ids: UUID) -> list[dict[str, Any]]:
    summary = await catch_up(sessions, flow_ids, Scope(), BackfillOptions())
    assert (summary.failed, summary.skipped) == ({}, {})
    async with sessions() as session:
        assert (await find_behind(session, Scope())).behind == []
        return [dict(await row_of(session, flow_id)) for flow_id in flow_ids]


def twice(value: object) -> str:
    return json.dumps(json.dumps(value))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(twice({"current_phase": "data_cleansing", "raw_data": _ROWS}), id="encoded twice"),
        pytest.param(
            json.dumps({"current_phase": "Data Cleansing", "raw_data": _ROWS}), id="encoded once more"
        ),
        pytest.param(
            {"Data Cleansing": {"raw_data": _ROWS, "legacy_data": {"raw_data": _ROWS}}}, id="a name in words"
        ),
        pytest.param({"data-cleansing": json.dumps({"raw_data": _ROWS})}, id="a section in a text"),
    ],
)
async def test_a_big_document_is_read_however_it_was_written(
    session_factory: Sessions, context: FlowContext, document: Any
) -> None:
    flow_id = await add_flow(session_factory, context, data_import_completed=True, crewai_state_data=document)
    [row] = await caught_up(session_factory, flow_id)
    assert row["flow_persistence_data"]["current_phase"] == "data_cleansing"
    assert row["flow_metadata"]["phase_transitions"] == [
        "data_import:completed",
        "data_cleansing:processing",
    ]
    assert "unread" not in row["flow_metadata"]["progress_snapshot"]


async def test_a_time_of_a_phase_is_read_under_any_of_its_names(
    session_factory: Sessions, context: FlowContext
) -> None:
    document = {"Asset Inventory": {**_ENDED, "raw_data": _ROWS}}
    flow_id = await add_flow(session_factory, context, crewai_state_data=document)
    [row] = await caught_up(session_factory, flow_id)
    assert row["phase_execution_times"]["asset_inventory"]["execution_time_ms"] == 1500


async def test_what_is_too_long_to_be_read_is_named(session_factory: Sessions, context: FlowContext) -> None:
    columns = {
        "data_import_completed": True,
        "phases_completed": ["data_import"] * 2_000,
        "crewai_state_data": json.dumps({"raw_data": "x" * 1_000_001}),
    }
    [row] = await caught_up(session_factory, await add_flow(session_factory, context, **columns))
    assert row["flow_metadata"]["progress_snapshot"]["unread"] == {
        "crewai_state_data": "is no object",
        "phases_completed": "not understood: more than 8192 bytes",
    }


#: What stands in a column of a child, as SQL; nothing of it is what belongs there.
_ODD = {
    "a NUL in json": "phases_completed = '[\"data_import\\u0000\"]'",
    "a NUL in an error": "error_details = '{\"error_code\": \"\\u0000\"}', error_message = 'boom'",
    "a lone surrogate": "phases_completed = '[\"\\ud800\"]'",
    "no number": "progress_percentage = 'NaN'",
    "no end": "progress_percentage = 'Infinity', completed_at = 'infinity', status = 'completed'",
    "for ever": "updated_at = 'infinity'",
    "never": "updated_at = '-infinity'",
    "before Christ": "updated_at = '0044-03-15 BC', completed_at = '4713-01-01 BC'",
    "after everybody": "updated_at = '200000-01-01'",
    "digits": f'crewai_state_data = \'{{"progress": {"9" * 5_000}, "errors": [{"9" * 5_000}]}}\'',
    "beyond a double": 'crewai_state_data = \'{"progress": 1e400, "records_total": -1e400}\'',
    "a number": "crewai_state_data = '7', phases_completed = '7', error_details = '7'",
    "a text": "crewai_state_data = '\"{\"', phases_completed = '\"[\"', error_details = '\"\"'",
    "nothing": "crewai_state_data = 'null', phases_completed = 'null', error_details = 'null'",
    "no name": 'crewai_state_data = \'{"": {"": 1}, " ": {}}\', current_phase = \' \'',
    "deep": f"crewai_state_data = '{'[' * 5_000}{']' * 5_000}', phases_completed = '{'[' * 900}{']' * 900}'",
}


async def test_nothing_that_a_column_may_hold_stops_the_backfill_of_others(
    session_factory: Sessions, context: FlowContext
) -> None:
    flow_ids = {name: await add_flow(session_factory, context, data_import_completed=True) for name in _ODD}
    async with session_factory.begin() as session:
        for name, flow_id in flow_ids.items():
            change = f"update migration.discovery_flows set {_ODD[name]} where flow_id = '{flow_id}'"
            await (await session.connection()).exec_driver_sql(change)
    rows = dict(zip(flow_ids, await caught_up(session_factory, *flow_ids.values()), strict=True))
    for name, row in rows.items():
        assert row["flow_metadata"]["phase_transitions"][:1] == ["data_import:completed"], name
    async with session_factory() as session:
        for flow_id in flow_ids.values():
            status = await FlowStatusManager(session, context).get_flow_status(flow_id, include_details=True)
            assert status.child_flow_status
            assert status.child_flow_status.completed_phases == 1
        assert await find_orphans(session, Scope()) == {}
    assert (await catch_up(session_factory, list(flow_ids.values()), Scope(), BackfillOptions())).changed == 0


async def test_masters_of_any_age_are_found_from_the_newest_on(
    session_factory: Sessions, context: FlowContext
) -> None:
    flow_ids = [await add_flow(session_factory, context, data_import_completed=True) for _ in range(4)]
    times = ("infinity", "200000-01-01", "0044-03-15 BC", "-infinity")
    async with session_factory.begin() as session:
        for flow_id, time in zip(flow_ids, times, strict=True):
            change = "update migration.crewai_flow_state_extensions set created_at = cast(:at as timestamptz)"
            await session.execute(
                text(f"{change} where flow_id = :flow_id"), {"flow_id": flow_id, "at": time}
            )
    found, place = [], None
    async with session_factory() as session:
        while True:
            page = await find_behind(session, Scope(), after=place, page_size=1)
            found += page.behind
            if (place := page.end) is None:
                break
    assert found == flow_ids
