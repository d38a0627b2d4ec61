import itertools
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from masterflow.domain.events import PhaseTransitioned, new_event
from masterflow.repository.merge.deltas import sum_up
from masterflow.repository.merge.merges import merge_arguments
from masterflow.repository.sql import statement
from tests.support.events.flows import new_context

_TABLE = "crewai_flow_state_extensions"


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        await connection.execute(text("set statement_timeout = '3min'"))
        await connection.execute(
            text(
                f"insert into migration.{_TABLE}"
                " (id, flow_id, client_account_id, engagement_id, user_id, flow_type)"
                f" select {', '.join(['gen_random_uuid()'] * 4)}, 'u', 'discovery'"
                " from generate_series(1, 200000)"
            )
        )
        await connection.execute(text(f"analyze migration.{_TABLE}"))
        yield connection


def scans(plan: dict[str, Any]) -> set[tuple[str, str | None]]:
    """Return how the scans of our table in a plan find their rows."""
    is_scan = plan.get("Relation Name") == _TABLE and plan["Node Type"] != "ModifyTable"
    found = {(plan["Node Type"], plan.get("Index Name"))} if is_scan else set()
    return found.union(*(scans(child) for child in plan.get("Plans", [])))


async def test_the_merge_finds_its_rows_by_index_among_200_000(connection: AsyncConnection) -> None:
    context = new_context()
    explain = text(f"explain (format json) {statement('merge_deltas').text}")
    for mode, flows in itertools.product(["force_custom_plan", "force_generic_plan"], [1, 500]):
        events = [
            new_event(PhaseTransitioned, context, uuid4(), phase="p", status="processing")
            for _ in range(flows)
        ]
        await connection.execute(text(f"set plan_cache_mode = {mode}"))
        plan = (await connection.execute(explain, merge_arguments(sum_up(events)))).scalar_one()
        assert scans(plan[0]["Plan"]) == {("Index Scan", f"{_TABLE}_flow_id_key")}, (mode, flows)
