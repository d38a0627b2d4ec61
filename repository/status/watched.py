"""The flows of all tenants that the watch asks about: open ones, lost ones, and those it has failed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.clock import parse_time, to_microseconds
from masterflow.domain.json_shapes import as_map
from masterflow.domain.liveness import Liveness
from masterflow.domain.phases import FLOW_TYPES
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement

#: What the watch itself tells of a flow that it fails is so close behind its last sign.
_OWN_WORDS: Final = timedelta(milliseconds=1)

Row = Mapping[str, Any]
Sessions = async_sessionmaker[AsyncSession]


async def read_watched(sessions: Sessions, flow_ids: Sequence[UUID]) -> dict[UUID, Row]:
    """Return the rows of these flows that there are, by flow."""
    return {row["flow_id"]: row for row in await _rows(sessions, "read_watched", flow_ids=list(flow_ids))}


async def read_notices(sessions: Sessions, flow_ids: Sequence[UUID]) -> dict[UUID, Row]:
    """Return what a notice says of these flows, by flow."""
    return {row["flow_id"]: row for row in await _rows(sessions, "read_notices", flow_ids=list(flow_ids))}


async def find_lost(sessions: Sessions, *, before: datetime, most: int) -> list[Row]:
    """Return lost flows that were last heard of before a time."""
    rows = await _rows(sessions, "find_lost", most=most)
    return [row for row in rows if (at := _last_sign(row["lost"])) is not None and at < before]


async def find_failed_as_lost(sessions: Sessions, *, most: int) -> list[Row]:
    """Return flows that were failed because they were lost, and have reported something since."""
    rows = await _rows(sessions, "find_failed_as_lost", most=most)
    return [row for row in rows if _has_reported(row)]


async def count_life(sessions: Sessions, held: Mapping[UUID, Liveness | None]) -> tuple[int, int]:
    """Return how many flows of all tenants are lost, and how many overdue.

    `held` says how the flows stand that processes say to hold: a lost one may be held by another process.
    """
    alive_ids = [flow_id for flow_id, liveness in held.items() if liveness == "alive"]
    arguments = {"alive_ids": alive_ids, "flow_types": list(FLOW_TYPES)}
    [row] = await _rows(sessions, "count_life", **arguments)
    return row["lost"], row["overdue"]


def _has_reported(row: Row) -> bool:
    at, digits = _last_sign(row["failed_as_lost"]), str(row["newest"] or "")[:16]
    return at is not None and digits.isdecimal() and int(digits) > to_microseconds(at + _OWN_WORDS)


def _last_sign(found: Any) -> datetime | None:
    return parse_time(as_map(found).get("last_sign_at"))


async def _rows(sessions: Sessions, name: str, **arguments: Any) -> list[Row]:
    async with translated_errors(), sessions() as session:
        return [dict(row) for row in (await session.execute(statement(name), arguments)).mappings()]
