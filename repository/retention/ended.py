"""Flows that ended long ago: counted, read whole, and deleted or thinned if they still are what was read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.fleet.facts import ENDED
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import source, statement

#: What summaries, the fleet and the merge read of `flow_metadata`: thinning leaves it whole.
KEPT_KEYS: Final = (
    "_enrichment",
    "phase_transitions",
    "last_progress_update",
    "external_flow_id",
    "usage",
    "usage_budget",
    "lost",
    "failed_as_lost",
    "overdue",
    "deadline_at",
    "control",
)

# Counting reads all old rows, and somebody waits for it who wants to know.
_COUNT_LIMITS: Final = {"lock_timeout": "5000", "statement_timeout": "600000", "idle_timeout": "60000"}


class Place(NamedTuple):
    """Where in the order of flows something is: created_at as Postgres writes it, and the flow."""

    created_at: str
    flow_id: UUID


#: Before all flows.
BEGINNING: Final = Place("-infinity", UUID(int=0))


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key that leads to master rows."""

    name: str
    is_own: bool
    columns: Sequence[str]
    keys: Sequence[str]
    is_indexed: bool
    #: As Postgres estimates them.
    rows: int

    @property
    def named(self) -> str:
        """Return that a row names "flow" by it."""
        pairs = zip(self.columns, self.keys, strict=True)
        met = [f"other.{column} = flow.{key}" for column, key in pairs]
        met += ["other.flow_id <> flow.flow_id"] if self.is_own else []
        # A colon in a name would be read as a parameter.
        return f"exists (select from {self.name} as other where {' and '.join(met)})".replace(":", r"\:")


@dataclass(frozen=True, slots=True)
class Ended:
    """Which flows: they ended, and nothing has changed them since; of one tenant, or of all."""

    before: datetime
    client_account_id: UUID | None = None
    engagement_id: UUID | None = None
    #: Only those that nobody has thinned.
    to_thin: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what the statements take."""
        return {
            "ended": list(ENDED),
            "before": self.before,
            "client_account_id": self.client_account_id,
            "engagement_id": self.engagement_id,
        }


@dataclass(frozen=True, slots=True)
class EndedFlow:
    """A row as it was read, whole."""

    flow_id: UUID
    client_account_id: UUID
    engagement_id: UUID
    #: Of its last change in UTC, like 2026-08-30.
    day: str
    #: Its last change in microseconds since 1970.
    updated_us: int | None
    is_thinned: bool
    #: The row as JSON.
    row: str
    digest: str


@dataclass(frozen=True, slots=True)
class TenantCount:
    """What of a tenant would go."""

    client_account_id: UUID
    engagement_id: UUID
    flows: int
    #: Of these, so many stay: other rows name them.
    named: int
    bytes: int
    first: str
    last: str


class EndedFlows:
    """Reads such rows, and deletes or thins them; each call is a transaction.

    Every call may raise DatabaseUnavailable.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession], meant: Ended) -> None:
        self._sessions = sessions
        self._meant = meant
        self._references: Sequence[Reference] | None = None

    async def references(self) -> Sequence[Reference]:
        """Return the foreign keys that lead to master rows; whoever is named by one is not deleted."""
        if self._references is None:
            async with translated_errors(), self._sessions() as db:
                rows = (await db.execute(statement("find_references"))).mappings()
                self._references = [Reference(**row) for row in rows]
        return self._references

    async def named(self) -> set[UUID]:
        """Return those that some row names by a foreign key; to thin them costs that row nothing."""
        found = set[UUID]()
        for one in [] if self._meant.to_thin else await self.references():
            async with translated_errors(), self._sessions() as db:
                # Each key by itself, as only so the rows are joined and not looked up one by one.
                text = statement("find_named", named=one.named)
                found.update((await db.execute(text, self._meant.arguments)).scalars())
        return found

    async def count(self) -> list[TenantCount]:
        """Return how many there are, by tenant."""
        named = list(await self.named())
        async with translated_errors(), self._sessions() as db:
            await db.execute(statement("set_connection"), {**_COUNT_LIMITS, "is_local": True})
            found = statement("count_ended", condition=self._condition)
            rows = (await db.execute(found, {**self._meant.arguments, "named": named})).mappings()
            return [TenantCount(**row) for row in rows]

    async def places(self, after: Place, *, most: int) -> list[Place]:
        """Return the places of at most so many beyond a place, the oldest first."""
        arguments = {**self._meant.arguments, **after._asdict(), "most": most}
        async with translated_errors(), self._sessions() as db:
            rows = (
                await db.execute(statement("list_ended", condition=self._condition), arguments)
            ).mappings()
            return [Place(**row) for row in rows]

    async def read(self, flow_ids: Sequence[UUID]) -> list[EndedFlow]:
        """Return those of these flows that are old still, whole."""
        arguments = {**self._meant.arguments, "flow_ids": list(flow_ids)}
        async with translated_errors(), self._sessions() as db:
            rows = (await db.execute(statement("read_ended"), arguments)).mappings()
            return [EndedFlow(**row) for row in rows]

    async def delete(self, digests: dict[UUID, str]) -> set[UUID]:
        """Delete those of these flows that are what their digests say; return which they were."""
        return await self._change(digests, "delete_ended", unnamed=await self._unnamed())

    async def thin(self, digests: dict[UUID, str]) -> set[UUID]:
        """Thin those of these flows that are what their digests say; return which they were."""
        return await self._change(digests, "thin_ended")

    async def _change(self, digests: dict[UUID, str], name: str, **parts: str) -> set[UUID]:
        lock = {"flow_ids": list(digests), "digests": list(digests.values())}
        arguments = {} if parts else {"kept_keys": list(KEPT_KEYS)}
        async with translated_errors(), self._sessions.begin() as db:
            held = list((await db.execute(statement("lock_ended"), lock)).scalars())
            # A statement of its own, as it sees what was committed until the rows were locked.
            changed = await db.execute(statement(name, **parts), {"flow_ids": held, **arguments})
            return set(changed.scalars())

    @property
    def _condition(self) -> str:
        return source("not_thinned") if self._meant.to_thin else "true"

    async def _unnamed(self) -> str:
        return " and ".join(["true", *(f"not {one.named}" for one in await self.references())])
