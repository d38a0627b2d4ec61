"""What a backfill reads and notes: masters behind their child, what stands in both, and how far it got."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.children.child_flow import ChildFlow
from masterflow.domain.children.evidence import COUNTED_NAMES
from masterflow.domain.children.synthesis import SOURCE, Plan, Standing
from masterflow.domain.flow_types.specification import FlowSpec
from masterflow.domain.tenant import FlowContext, flow_context
from masterflow.repository.child_tables import child, child_tables, children_of_page, every_child
from masterflow.repository.database import translated_errors
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.sql import statement

#: Comes before the version of a child in its master's note: with new rules, every flow is looked at again.
RULES: Final = "4."

# Rules that no row was ever given by: whatever its note says, it is looked at.
_ANY_RULES: Final = "again."

# Any number will do, so long as nobody else in the database locks the same one.
_LOCK: Final = 0x6261636B66696C6C

_LAST_ID: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which flows a backfill looks at: created since then (None: ever), of that tenant (None: of any)."""

    since: datetime | None = None
    client_account_id: UUID | None = None
    engagement_id: UUID | None = None
    #: Whether those count as behind that were given their child's newest version before.
    is_again: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return the scope as the statements take it."""
        return {
            "since": self.since.isoformat() if self.since else "-infinity",
            "client_account_id": self.client_account_id,
            "engagement_id": self.engagement_id,
        }


#: Where a page of masters ends: creation time, which need not be one that Python has, and flow id.
Place = tuple[str, UUID]


@dataclass(frozen=True, slots=True)
class Page:
    """What was found among the masters of one page; `end` is None where nothing comes after."""

    scanned: int
    behind: list[UUID]
    several: list[UUID]
    foreign: list[UUID]
    end: Place | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A master row and one of its children."""

    standing: Standing
    child: ChildFlow


async def lock_backfill(session: AsyncSession) -> bool:
    """Return whether no other backfill run is going on; none begins before the session's transaction ends."""
    async with translated_errors():
        return bool(await session.scalar(statement("lock_backfill"), {"lock": _LOCK}))


async def find_behind(
    session: AsyncSession, scope: Scope, *, after: Place | None = None, page_size: int = 5_000
) -> Page:
    """Return which masters, among the next page of them from the newest on, are behind their child.

    What raises DatabaseUnavailable may work in a new transaction; so it is for all functions here.
    """
    before, before_id = after or ("infinity", _LAST_ID)
    arguments = {"before": before, "before_id": before_id, "page_size": page_size}
    arguments["rules"] = _ANY_RULES if scope.is_again else RULES
    search = await behind_search(session)
    async with translated_errors():
        rows = await session.execute(search, scope.arguments() | arguments)
    row = rows.one()
    is_last = row.last_created_at is None or row.scanned < page_size
    end = None if is_last else (row.last_created_at, row.last_flow_id)
    return Page(row.scanned, row.behind, row.several, row.foreign, end)


async def behind_search(session: AsyncSession) -> TextClause:
    """Return the statement that looks through a page, for the child tables that this database has."""
    return statement("find_behind", children_of_page=children_of_page(await child_tables(session)))


async def find_orphans(session: AsyncSession, scope: Scope) -> dict[UUID, UUID]:
    """Return up to 1,000 children that have no master, newest first, each with the master's id it names."""
    part = every_child(await child_tables(session))
    async with translated_errors():
        rows = await session.execute(statement("find_orphans", every_child=part), scope.arguments())
    return {row.flow_id: row.master_flow_id for row in rows}


async def read_pairs(session: AsyncSession, flow_ids: Sequence[UUID], scope: Scope) -> dict[UUID, list[Pair]]:
    """Return, by master, each of these masters of the scope's tenant with its children of the same tenant."""
    arguments = {
        "client_account_id": scope.client_account_id,
        "engagement_id": scope.engagement_id,
        "flow_ids": list(flow_ids),
        "rules": RULES,
        "counted_names": list(COUNTED_NAMES),
    }
    pairs: dict[UUID, list[Pair]] = {}
    for table in await child_tables(session):
        read = statement("read_backfill", child=child(table))
        async with translated_errors():
            rows = await session.execute(read, {**arguments, "section_names": list(table.spec.names)})
        for row in rows:
            pairs.setdefault(row.flow_id, []).append(Pair(_standing(row), _child(row, table.spec)))
    return pairs


async def carry_out(session: AsyncSession, plans: Sequence[Plan]) -> None:
    """Do what the plans say, and note in each master which version of its child it has been given.

    The rows are locked first, all of them in the order of the merge, which may touch only some. Where only
    evidence was added, `updated_at` stays: readers take it for the time of the last thing that happened.
    """
    async with translated_errors():
        flow_ids = [plan.standing.flow_id for plan in plans]
        rows = await session.execute(statement("lock_masters"), {"flow_ids": flow_ids})
        written_at = {row.flow_id: row.updated_at for row in rows}
        await apply_events(session, [event for plan in plans for event in plan.events])
        notes = [_note(plan, written_at.get(plan.standing.flow_id)) for plan in plans]
        await session.execute(statement("note_backfill"), {"notes": json.dumps(notes)})


def _note(plan: Plan, written_at: str | None) -> Mapping[str, object]:
    context = plan.standing.context
    return {
        "flow_id": str(plan.standing.flow_id),
        "client_account_id": str(context.client_account_id),
        "engagement_id": str(context.engagement_id),
        "version": plan.version,
        "times": plan.times,
        "withdrawn": plan.withdrawn,
        "current_phase": plan.current_phase,
        "updated_at": None if plan.is_repair else written_at,
    }


def _standing(row: Row[Any]) -> Standing:
    return Standing(
        flow_id=row.flow_id,
        context=_context(row.client_account_id, row.engagement_id),
        flow_status=row.flow_status,
        current_phase=row.standing_phase,
        live_phases=frozenset(row.live_phases),
        live_error_phases=frozenset(row.live_error_phases),
        timed_phases=frozenset(row.timed_phases),
        synthesised=frozenset(row.synthesised),
        stamps=row.stamps,
        snapshots=row.snapshots,
    )


@lru_cache(maxsize=1_000)
def _context(client_account_id: UUID, engagement_id: UUID) -> FlowContext:
    return flow_context(client_account_id, engagement_id, SOURCE)


def _child(row: Row[Any], spec: FlowSpec) -> ChildFlow:
    return ChildFlow(
        spec=spec,
        flow_id=row.child_flow_id,
        version=row.version,
        status=row.status or "",
        completed=row.completed,
        progress=row.progress,
        current_phase=row.current_phase,
        phases_completed=row.phases_completed,
        document=row.document,
        error=row.error or {},
        updated_at=row.updated_at,
        completed_at=row.completed_at,
    )
