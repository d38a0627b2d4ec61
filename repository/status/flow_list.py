"""The list of flows: part after part of a tenant's flows is looked at until a page is full, or time is up."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.fleet.facts import facts_of
from masterflow.domain.liveness import Liveness
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement
from masterflow.repository.status.reads import FlowScope, Place
from masterflow.repository.status.wanted import FlowFilter, Sort

Row = Mapping[Any, Any]

#: So many flows are looked at in one statement when a filter has no index: few at first, to be over soon.
_FIRST_SCANNED: Final = 300
_FIRST_COUNTED: Final = 120
SCANNED_ROWS: Final = 2_000

#: So many flows of all accounts are looked through in one statement.
_FIRST_WINDOW: Final = 2_000
_MOST_WINDOW: Final = 50_000
_GROWTH: Final = 4.0

#: Among flows of one time, at as many as it takes.
STUCK_GROWTH: Final = 16

#: So many flows are sorted together by what no index knows.
SORTED_ROWS: Final = 2_000
_SORTED_WINDOW: Final = 8_000

#: Where among flows that were created at one time a list goes on that looked at none of them.
_BEFORE_ALL: Final = UUID(int=2**128 - 1)
_AFTER_ALL: Final = UUID(int=0)

# What Postgres takes for a time, and 400 years, after which the calendar begins anew.
_FIRST_US: Final = -211_813_488_000_000_000
_LAST_US: Final = 9_223_371_331_199_999_999
_ERA_US: Final = 146_097 * 86_400_000_000

_OLDER: Final = {
    "creation_order": "created_at desc, flow_id desc",
    "reversed_order": "created_at, flow_id",
    "beyond_key": "(sorted.key, looked_at.flow_id) < (cast(:key as bigint), cast(:key_id as uuid))",
}
#: What a first page by creation is made of.
NEWEST_FIRST: Final = {**_OLDER, "beyond": "true", "key_order": "place"}
_NEWER: Final = {
    "creation_order": "created_at, flow_id",
    "reversed_order": "created_at desc, flow_id desc",
    "beyond_key": "(sorted.key, looked_at.flow_id) > (cast(:key as bigint), cast(:key_id as uuid))",
}


@dataclass(frozen=True, slots=True)
class ListPlace:
    """Where a page begins or ends, and in which direction the list goes on from there."""

    #: Flows are looked at beyond this row: those that are sorted together, if not by their creation.
    start: Place | None = None
    #: In such a list, where among them: the number that is sorted by, and the flow.
    key: int | None = None
    key_id: UUID | None = None
    is_newer: bool = False
    #: Until when flows last that have not ended, in microseconds since 1970; 0 is now.
    now_us: int = 0
    #: How many flows were looked at up to here.
    searched: int = 0


@dataclass(frozen=True, slots=True)
class FlowPage:
    """A part of the list; a page may be short, and the list still goes on after `older`."""

    rows: list[Row] = field(default_factory=list)
    older: ListPlace | None = None
    newer: ListPlace | None = None
    #: How many flows were looked at, from the beginning of the list on.
    searched: int = 0
    #: Among how many flows the page is sorted, where these are not all that there are.
    sorted_among: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one statement found: rows that are meant, and where looking goes on (None: that was all)."""

    rows: list[Row]
    end: Place | None
    searched: int
    is_stuck: bool = False


async def list_flows(
    db: AsyncSession,
    scope: FlowScope,
    *,
    wanted: FlowFilter,
    sort: Sort = "created",
    at: ListPlace | None = None,
    limit: int = 50,
    held: Mapping[UUID, Liveness | None] | None = None,
    budget_s: float = 0.0,
) -> FlowPage:
    """Return the flows beyond a place; raises DatabaseUnavailable as all reads here do.

    `held` says how the flows stand that processes say to hold; of all others only the row tells anything.
    Looking goes on until the page is full or `budget_s` is spent; one part is looked at in any case.
    """
    at = at or ListPlace()
    looking = Looking(
        db, scope, wanted, sort, replace(at, now_us=at.now_us or int(time.time() * 1e6)), held or {}
    )
    return await looking.page(limit, until=time.monotonic() + budget_s)


class Looking:
    """One look at the list: what is asked for, and how much is looked at in the next statement."""

    def __init__(
        self,
        db: AsyncSession,
        scope: FlowScope,
        wanted: FlowFilter,
        sort: Sort,
        at: ListPlace,
        held: Mapping[UUID, Liveness | None],
    ) -> None:
        self._db, self._wanted, self._sort, self._at, self._held = db, wanted, sort, at, held
        self._by_creation = sort == "created"
        self._ways = _NEWER if at.is_newer and self._by_creation else _OLDER
        self._scanned = _FIRST_COUNTED if wanted.counted else _FIRST_SCANNED if wanted.is_slow else 0
        self._window = _FIRST_WINDOW
        if not self._by_creation:
            self._scanned, self._window = SORTED_ROWS, _SORTED_WINDOW
        found = [flow_id for flow_id, liveness in held.items() if liveness in wanted.liveness]
        others = [flow_id for flow_id, liveness in held.items() if liveness not in wanted.liveness]
        is_lost = "lost" in wanted.liveness
        self._arguments = {
            **scope.arguments,
            **wanted.arguments,
            "sort": sort,
            "now_us": at.now_us,
            # Whoever is lost may be held by nobody.
            "only_ids": found if wanted.liveness and not is_lost else None,
            "or_ids": found if is_lost else None,
            "except_ids": others if is_lost else None,
            # How those stand that somebody holds; of all others the row tells it.
            "held_ids": list(held),
            "lost_ids": [flow_id for flow_id, liveness in held.items() if liveness == "lost"],
            "silent_ids": [flow_id for flow_id, liveness in held.items() if liveness == "silent"],
        }

    async def page(self, limit: int, *, until: float) -> FlowPage:
        """Return a page, from what is looked at until it is full, all was looked at, or time is up."""
        if self._by_creation:
            return await self._page_by_creation(limit, until)
        return await self._sorted_page(limit, until)

    async def _page_by_creation(self, limit: int, until: float) -> FlowPage:
        at, rows, searched = self._at, list[Row](), self._at.searched
        place: Place | None = at.start
        is_end = False
        while True:
            began = time.monotonic()
            part = await self._part(place, most=limit + 1 - len(rows))
            if len(rows) + len(part.rows) > limit:
                rows += part.rows[: limit - len(rows)]
                searched += rows[-1]["place"]
                place = _place_of(rows[-1])
                break
            rows += part.rows
            searched += part.searched
            if part.end is None and not part.is_stuck:
                is_end = True
                break
            if not part.is_stuck:
                place = part.end
                if not self._look_further(began=began, until=until):
                    break
            else:
                self._window *= STUCK_GROWTH
        if at.is_newer:
            return await self._newer_page(rows, place, searched, is_end=is_end, limit=limit, until=until)
        newer = rows[0] if rows else None
        return FlowPage(
            rows,
            older=None if is_end or place is None else replace(at, start=place, searched=searched),
            newer=None
            if at.start is None
            else ListPlace(_place_of(newer) if newer else at.start, is_newer=True, now_us=at.now_us),
            searched=searched,
        )

    async def _newer_page(
        self,
        rows: list[Row],
        place: Place | None,
        searched: int,
        *,
        is_end: bool,
        limit: int,
        until: float,
    ) -> FlowPage:
        """Return what is newer, the newest first; where that is all, the first page, which is full."""
        if is_end:
            self._at, self._ways = ListPlace(now_us=self._at.now_us), _OLDER
            self._window = _FIRST_WINDOW
            return await self._page_by_creation(limit, until)
        first = _place_of(rows[0]) if rows else self._at.start
        return FlowPage(
            rows[::-1],
            older=ListPlace(first, now_us=self._at.now_us),
            newer=replace(self._at, start=place, searched=searched),
            searched=searched,
        )

    async def _sorted_page(self, limit: int, until: float) -> FlowPage:
        """Return what comes next among the flows that are sorted together, or the first of the next such."""
        at = self._at
        part = await self._block(at, limit)
        if at.is_newer and len(part.rows) <= limit:
            # That is all that comes before: the first page of these flows, which is full.
            at = replace(at, key=None, key_id=None, is_newer=False)
            part = await self._block(at, limit)
        while not part.rows and part.end is not None and time.monotonic() < until:
            at = ListPlace(part.end, now_us=at.now_us, searched=at.searched + part.searched)
            part = await self._block(at, limit)
        return _sorted_page_of(at, part, limit)

    async def _block(self, at: ListPlace, limit: int) -> Part:
        while (part := await self._part(at.start, most=limit + 1, at=at)).is_stuck:
            self._window *= STUCK_GROWTH
        return part

    async def _part(self, start: Place | None, *, most: int, at: ListPlace | None = None) -> Part:
        scanned = self._scanned or most
        arguments = self._arguments | arguments_at(start, scanned=scanned)
        arguments |= {"window": self._window, "most": most}
        arguments |= {"key": at.key if at else None, "key_id": at.key_id if at else None}
        is_reversed = at is not None and at.is_newer
        way = "" if is_reversed else " desc"
        parts = self._ways | {
            "beyond": beyond(start, is_newer=self._ways is _NEWER),
            "key_order": "place" if self._by_creation else f"key{way}, tie{way}",
        }
        if is_reversed:
            parts["beyond_key"] = _NEWER["beyond_key"]
        if not self._wanted.counted:
            return self._part_of(await self._rows("list_flows", parts, arguments), start)
        # What a flow counts for is read and told apart here, by the same words as everywhere.
        found = await self._rows("find_flow_facts", parts, arguments)
        part = self._part_of(found, start)
        meant = {
            row["flow_id"]: row["place"] for row in part.rows if self._wanted.counted.fits(facts_of(row))
        }
        if not meant:
            return Part([], part.end, part.searched, part.is_stuck)
        those = {"only_ids": list(meant), "after_at": None, "after_id": None, "scanned": len(meant)}
        first = parts | {"beyond": "true"}
        rows = self._part_of(await self._rows("list_flows", first, arguments | those), None).rows
        placed: list[Row] = [{**row, "place": meant[row["flow_id"]]} for row in rows]
        return Part(placed, part.end, part.searched, part.is_stuck)

    def _part_of(self, rows: list[Row], start: Place | None) -> Part:
        told = rows[0]
        found = [row for row in rows if row["flow_status"] is not None]
        if told["is_end"]:
            return Part(found, None, told["searched"])
        if told["end_id"] is not None:
            return Part(found, Place(told["end_us"], told["end_id"]), told["searched"])
        if told["end_us"] is None or (start is not None and told["end_us"] == start.created_us):
            return Part(found, None, told["searched"], is_stuck=True)
        beyond = _AFTER_ALL if self._ways is _NEWER else _BEFORE_ALL
        return Part(found, Place(told["end_us"], beyond), told["searched"])

    def _look_further(self, *, began: float, until: float) -> bool:
        """Look at more in the next statement, up to what one may take; False if there is no time for one.

        The next part takes as long as the one that began then, or longer where it is greater.
        """
        now = time.monotonic()
        growth = min((until - now) / max(now - began, 1e-4), _GROWTH)
        if growth < 1:
            return False
        self._window = max(self._window, min(int(self._window * growth), _MOST_WINDOW))
        if self._scanned:
            self._scanned = min(int(self._scanned * growth), SCANNED_ROWS)
        return True

    async def _rows(self, name: str, parts: Mapping[str, str], arguments: dict[str, Any]) -> list[Row]:
        async with translated_errors():
            return list((await self._db.execute(statement(name, **parts), arguments)).mappings())


def _sorted_page_of(at: ListPlace, part: Part, limit: int) -> FlowPage:
    rows, searched = part.rows[:limit], at.searched + part.searched
    if at.is_newer:
        rows.reverse()
    older = newer = None
    if len(part.rows) > limit or at.is_newer:
        older = replace(at, key=rows[-1]["key"], key_id=rows[-1]["flow_id"], is_newer=False)
    elif part.end is not None:
        older = ListPlace(part.end, now_us=at.now_us, searched=searched)
    if rows and at.key is not None:
        newer = replace(at, key=rows[0]["key"], key_id=rows[0]["flow_id"], is_newer=True)
    is_all = at.start is None and part.end is None
    return FlowPage(rows, older, newer, searched, sorted_among=None if is_all else part.searched)


def arguments_at(start: Place | None, *, scanned: int) -> dict[str, Any]:
    """Return what a statement is told of where a part begins, and how much it looks at."""
    return {
        "after_at": _timestamp(start.created_us) if start else None,
        "after_id": start.flow_id if start else None,
        "scanned": scanned,
    }


def beyond(start: Place | None, *, is_newer: bool) -> str:
    """Return the condition for what comes after a row of the list; rows without created_at come first."""
    if start is None:
        return "true"
    sign = ">" if is_newer else "<"
    if start.created_us is None:
        alone = f"(created_at is null and flow_id {sign} cast(:after_id as uuid))"
        return alone if is_newer else f"created_at is not null or {alone}"
    place = "(cast(cast(:after_at as text) as timestamptz), cast(:after_id as uuid))"
    return f"(created_at, flow_id) {sign} {place}"


def _place_of(row: Row) -> Place:
    return Place(row["created_us"], row["flow_id"])


def _timestamp(created_us: int | None) -> str | None:
    """Return a time as Postgres reads it."""
    if created_us is None or not _FIRST_US <= created_us <= _LAST_US:
        return None if created_us is None else "infinity" if created_us > 0 else "-infinity"
    eras, rest_us = divmod(created_us, _ERA_US)
    at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=rest_us)
    year = at.year + 400 * eras
    era, shown = ("", year) if year > 0 else (" BC", 1 - year)
    return f"{shown:04d}-{at:%m-%d %H:%M:%S.%f}+00{era}"
