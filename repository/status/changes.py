"""Which rows have changed, found without an index on the time of their change."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement
from masterflow.repository.status.reads import FlowScope
from masterflow.repository.values import EARLIEST


async def read_open_flows(
    db: AsyncSession, client_account_ids: Iterable[UUID], *, most: int
) -> tuple[datetime, list[UUID]]:
    """Return the database's time, and at most so many of these accounts' open flows."""
    rows = await _execute(db, "read_open_flows", client_account_ids=list(client_account_ids), most=most)
    return rows[0]["now"], rows[0]["flow_ids"]


async def find_changes(
    db: AsyncSession, client_account_ids: Iterable[UUID], *, flow_ids: Iterable[UUID], since: datetime
) -> dict[UUID, datetime]:
    """Return what changed after a time, and when: open and new flows, and those with these ids."""
    rows = await _execute(
        db,
        "find_changes",
        client_account_ids=list(client_account_ids),
        flow_ids=list(flow_ids),
        since=since,
    )
    return {row["flow_id"]: row["updated_at"] for row in rows}


async def find_missed_changes(
    db: AsyncSession, scope: FlowScope, *, flow_id: UUID | None, since: datetime, most: int
) -> list[UUID]:
    """Return the flows of a scope, or the one, that changed after a time."""
    rows = await _execute(
        db, "find_missed_changes", **scope.arguments, flow_id=flow_id, since=since, most=most
    )
    return [row["flow_id"] for row in rows]


async def read_summaries(
    db: AsyncSession, client_account_ids: Iterable[UUID], *, flow_ids: Iterable[UUID]
) -> Sequence[RowMapping]:
    """Return what the summaries of these accounts' flows are made of, the oldest change first."""
    rows = await _execute(
        db, "read_summaries", client_account_ids=list(client_account_ids), flow_ids=list(flow_ids)
    )
    return sorted(rows, key=lambda row: row["updated_at"] or EARLIEST)


async def read_entries(
    db: AsyncSession, scope: FlowScope, *, flow_ids: Iterable[UUID]
) -> dict[UUID, RowMapping]:
    """Return the lists of these flows of a scope: transitions, errors, collaborations."""
    rows = await _execute(db, "read_entries", **scope.arguments, flow_ids=list(flow_ids))
    return {row["flow_id"]: row for row in rows}


async def _execute(db: AsyncSession, name: str, **arguments: Any) -> list[RowMapping]:
    async with translated_errors():
        return list((await db.execute(statement(name), arguments)).mappings())
