"""What was asked of flows and by them, as rows hold it; `masterflow.domain.control` reads the entries."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.control.requests import control_entries
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement
from masterflow.repository.status.reads import FlowScope, Place


async def read_control(db: AsyncSession, scope: FlowScope, flow_ids: Iterable[Any]) -> list[RowMapping]:
    """Return the rows of read_control.sql of those of these flows that the scope holds."""
    async with translated_errors():
        arguments = {**scope.arguments, "flow_ids": list(flow_ids)}
        return list((await db.execute(statement("read_control"), arguments)).mappings())


def entries_of(row: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Return the entries of a row that has `control`, the oldest first."""
    return control_entries({"control": row["control"]})


async def list_inbox(
    db: AsyncSession, scope: FlowScope, *, after: Place | None, limit: int
) -> tuple[list[RowMapping], Place | None]:
    """Return the flows that wait after a place, and where the next page begins."""
    arguments = {
        **scope.arguments,
        "after_us": after.created_us or 0 if after else None,
        "after_id": after.flow_id if after else None,
        "most": limit + 1,
    }
    async with translated_errors():
        rows = list((await db.execute(statement("list_inbox"), arguments)).mappings())
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], Place(rows[limit - 1]["since_us"], rows[limit - 1]["flow_id"])
