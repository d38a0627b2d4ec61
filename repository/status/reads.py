"""What people look at, read by tenant: summaries of flows and their details."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowContext
from masterflow.domain.liveness import OPEN_STATUSES, Liveness
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement

#: So many flows are looked at for one page when a filter has no index.
SCANNED_ROWS: Final = 2_000

# What Postgres takes for a time, and 400 years, after which the calendar begins anew.
_FIRST_US: Final = -211_813_488_000_000_000
_LAST_US: Final = 9_223_371_331_199_999_999
_ERA_US: Final = 146_097 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class FlowScope:
    """Whose flows are read: one client account, and those of its engagements that the reader may see."""

    client_account_id: UUID
    engagement_ids: frozenset[UUID]

    @classmethod
    def of(cls, context: FlowContext) -> "FlowScope":
        """Return the scope of one engagement."""
        return cls(context.client_account_id, frozenset({context.engagement_id}))

    def holds(self, row: Mapping[Any, Any]) -> bool:
        """Return whether a row of any tenant is one of these."""
        return (
            row["client_account_id"] == self.client_account_id and row["engagement_id"] in self.engagement_ids
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what every statement is scoped by."""
        return {"client_account_id": self.client_account_id, "engagement_ids": sorted(self.engagement_ids)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFilter:
    """Which flows are meant; what is None or empty does not matter."""

    statuses: tuple[str, ...] = ()
    flow_type: str | None = None
    flow_id: UUID | None = None
    phase: str | None = None
    #: Created then or later.
    since: datetime | None = None
    #: Part of a name, an id or a user, in any case.
    text: str | None = None
    #: How it stands with whoever works on them: one of these.
    liveness: tuple[Liveness, ...] = ()
    is_overdue: bool = False

    @property
    def is_slow(self) -> bool:
        """Return whether no index helps to find such flows."""
        return bool(self.phase or self.text or "lost" in self.liveness or self.is_overdue)

    @property
    def meant_statuses(self) -> tuple[str, ...] | None:
        """Return the statuses that such flows have; None if any will do."""
        if not self.liveness:
            return self.statuses or None
        return tuple(one for one in sorted(OPEN_STATUSES) if not self.statuses or one in self.statuses)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: at this row of the list, which is sorted by creation."""

    #: Microseconds since 2000, as Postgres counts them: Python knows no time after 9999, and no infinity.
    created_us: int | None
    flow_id: UUID


@dataclass(frozen=True, slots=True)
class FlowPage:
    """A part of the list; a page may be short, and the list still goes on after `next_place`."""

    rows: list[RowMapping] = field(default_factory=list)
    next_place: Place | None = None


async def list_flows(
    db: AsyncSession,
    scope: FlowScope,
    *,
    wanted: FlowFilter,
    after: Place | None = None,
    limit: int = 50,
    held: Mapping[UUID, Liveness | None] | None = None,
) -> FlowPage:
    """Return the flows after a place, newest first; raises DatabaseUnavailable as all reads here do.

    `held` says how the flows stand that processes say to hold; of all others only the row tells anything.
    """
    scanned = SCANNED_ROWS if wanted.is_slow else limit + 1
    held = held or {}
    found = [flow_id for flow_id, liveness in held.items() if liveness in wanted.liveness]
    others = [flow_id for flow_id, liveness in held.items() if liveness not in wanted.liveness]
    is_lost = "lost" in wanted.liveness
    arguments = {
        **scope.arguments,
        "statuses": None if wanted.meant_statuses is None else list(wanted.meant_statuses),
        "flow_type": wanted.flow_type,
        "flow_id": wanted.flow_id,
        "phase": wanted.phase,
        "since": wanted.since,
        "text": wanted.text,
        "is_lost": is_lost,
        "is_overdue": wanted.is_overdue,
        # Whoever is lost may be held by nobody.
        "only_ids": found if wanted.liveness and not is_lost else None,
        "or_ids": found if is_lost else None,
        "except_ids": others if is_lost else None,
        "after_at": _timestamp(after.created_us) if after else None,
        "after_id": after.flow_id if after else None,
        "scanned": scanned,
        "enough": limit + 1,
        "most": limit + 1,
    }
    async with translated_errors():
        rows = list((await db.execute(statement("list_flows"), arguments)).mappings())
    end = None
    if len(rows) > limit:
        end = rows[limit - 1]
    elif rows and not rows[-1]["is_end"]:
        end = rows[-1]
    shown = [row for row in rows[:limit] if row["is_meant"]]
    return FlowPage(shown, Place(end["created_us"], end["flow_id"]) if end else None)


def _timestamp(created_us: int | None) -> str | None:
    """Return a time as Postgres reads it."""
    if created_us is None or not _FIRST_US <= created_us <= _LAST_US:
        return None if created_us is None else "infinity" if created_us > 0 else "-infinity"
    eras, rest_us = divmod(created_us, _ERA_US)
    at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=rest_us)
    year = at.year + 400 * eras
    era, shown = ("", year) if year > 0 else (" BC", 1 - year)
    return f"{shown:04d}-{at:%m-%d %H:%M:%S.%f}+00{era}"


async def read_one(db: AsyncSession, name: str, scope: FlowScope, flow_id: UUID) -> RowMapping | None:
    """Return the row of a statement about one flow, or None if the scope holds no such flow."""
    async with translated_errors():
        rows = await db.execute(statement(name), {**scope.arguments, "flow_id": flow_id})
        return rows.mappings().one_or_none()
