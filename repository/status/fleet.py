"""What flows count for in their fleet: of one client account, or of all, read span by span and by change."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.phases import FLOW_TYPES
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement


@dataclass(frozen=True, slots=True)
class FleetChanges:
    """Which flows changed, each with when in microseconds since 1970, and the database's own time."""

    now_us: int
    changed: dict[UUID, int]


class HourCount(NamedTuple):
    """How many flows began in an hour, and the sum of when: where one is replaced, that changes too."""

    flows: int
    created_us: int


class FleetRows:
    """Reads the rows of one client account, or of all if it is None, each time in a session of its own.

    Every call may raise DatabaseUnavailable.
    """

    def __init__(
        self, sessions: async_sessionmaker[AsyncSession], client_account_id: UUID | None = None
    ) -> None:
        self._sessions = sessions
        self.client_account_id = client_account_id

    async def find_changes(self, since_us: int, flow_ids: Iterable[UUID] = ()) -> FleetChanges:
        """Return what changed after a time, as far as it is open or new or has one of these ids."""
        rows = await self._read(
            "find_fleet_changes", since_us=since_us, flow_ids=list(flow_ids), flow_types=list(FLOW_TYPES)
        )
        changed = {row["flow_id"]: row["updated_us"] for row in rows if row["flow_id"] is not None}
        return FleetChanges(rows[0]["now_us"], changed)

    async def count_by_hour(self, since_s: int) -> dict[int, HourCount]:
        """Return what began in each hour since then that has flows, the latest hour first."""
        rows = await self._read("count_fleet_hours", since_s=since_s)
        return {row["hour_s"]: HourCount(row["flows"], int(row["created_us"])) for row in rows}

    async def find_older(self, since_s: int) -> list[UUID]:
        """Return the open flows that began before that, or at no time that there is."""
        rows = await self._read("find_fleet_older", since_s=since_s, flow_types=list(FLOW_TYPES))
        return [row["flow_id"] for row in rows]

    async def read_span(self, since_s: int, until_s: int) -> list[RowMapping]:
        """Return what the flows count for that began within a span of time."""
        return await self._read("read_fleet_span", since_s=since_s, until_s=until_s)

    async def read_flows(self, flow_ids: Iterable[UUID]) -> list[RowMapping]:
        """Return what these flows count for."""
        return await self._read("read_fleet_flows", flow_ids=list(flow_ids))

    async def _read(self, name: str, **arguments: Any) -> list[RowMapping]:
        arguments["client_account_id"] = self.client_account_id
        async with translated_errors(), self._sessions() as db:
            return list((await db.execute(statement(name), arguments)).mappings())
