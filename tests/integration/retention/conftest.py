"""Flows that ended long ago, for the tests of what becomes of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from masterflow.repository.retention.ended import Ended, EndedFlows
from tests.support.events.stores import Sessions, add_flow

OLD = datetime(2026, 3, 4, 5, 6, 7, 891234, tzinfo=UTC)
BEFORE = OLD + timedelta(days=90)


async def add_old(sessions: Sessions, status: str = "completed", **columns: Any) -> UUID:
    """Add a flow that changed last at `OLD`."""
    times = {"created_at": OLD - timedelta(hours=1), "updated_at": OLD}
    return await add_flow(sessions, flow_status=status, **(times | columns))


def old_flows(sessions: Sessions, **options: Any) -> EndedFlows:
    return EndedFlows(sessions, Ended(before=BEFORE, **options))


async def rows_of(sessions: Sessions) -> dict[str, Any]:
    """Return all rows as Postgres writes them, by flow."""
    async with sessions() as db:
        found = await db.execute(
            text("select flow_id, to_jsonb(flow)::text from migration.crewai_flow_state_extensions as flow")
        )
        return {str(flow_id): row for flow_id, row in found}


def archived_ids(path: Path) -> list[str]:
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl"))
    return [json.loads(line)["flow_id"] for file in files for line in file.read_bytes().splitlines()]
