"""The book of a fleet: its tiles and their sums, read from the rows and kept equal to them by increments.

A flow that is open, or changed a moment ago, is held with what it counts for, so that its next change is an
exact increment: the old facts are taken back, the new ones added. Of all others only sums are kept; where
one of them changes after all, its tile is read anew. Nothing is ever guessed, so that nothing drifts, and
all of it can be made from the rows at any time.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final
from uuid import UUID

from masterflow.domain.fleet.facts import FlowFacts, facts_of
from masterflow.domain.fleet.sums import Sums
from masterflow.domain.fleet.windows import limits_at
from masterflow.repository.status.fleet import FleetRows, HourCount
from masterflow.status.fleet.tiles import (
    HOUR_S,
    Tile,
    TileKey,
    first_hour_s,
    is_settled,
    tile_key,
    tiles_of,
)
from masterflow.status.live.watch import LOOK_BACK

_SECOND_US: Final = 1_000_000
_LOOK_BACK_US: Final = int(LOOK_BACK.total_seconds()) * _SECOND_US

_NEVER_US: Final = 253_402_300_799_000_000

#: A flow that ended is held for so long: reports may still come in.
_HELD_US: Final = 600 * _SECOND_US

#: So many flows are looked for by their ids; of more, those that change last are found when tiles are read.
_MOST_WATCHED: Final = 20_000

_ROWS_AT_ONCE: Final = 1_000
_RECOUNT_INTERVAL_S: Final = 600.0


class FleetBook:
    """The sums of the flows of one client account, or of all; one task at a time takes its steps."""

    def __init__(self, rows: FleetRows) -> None:
        self._rows = rows
        self.tiles: dict[TileKey, Tile] = {}
        #: By engagement.
        self.sums: defaultdict[UUID, Sums] = defaultdict(Sums)
        #: The time of the database up to which changes are known; 0 before anything was read.
        self.now_us = 0
        self._limits: Mapping[int, int] = {}
        self._places: dict[UUID, TileKey] = {}
        self._told: dict[UUID, int] = {}
        #: Spans that are still to be read, the latest first.
        self._unread: list[tuple[int, int]] = []
        self._is_older_read = False
        self._stale: set[TileKey] = set()
        self._read_at: dict[TileKey, float] = {}
        self._recounted_at = 0.0

    @property
    def is_whole(self) -> bool:
        """Return whether all rows are counted that are to be."""
        return bool(self.now_us) and not self._unread and self._is_older_read

    @property
    def is_stale(self) -> bool:
        """Return whether some rows are known to have changed in ways that only reading them anew tells."""
        return bool(self._stale)

    @property
    def counted_since_s(self) -> int:
        """Return since when all flows that began are counted, in seconds since 1970."""
        return self._unread[0][1] if self._unread else first_hour_s(self.now_us // _SECOND_US)

    @property
    def held(self) -> Iterable[FlowFacts]:
        """Return what is known of flows one by one: of all that are open, and of some that ended."""
        return (facts for tile in self.tiles.values() for facts in tile.held.values())

    async def begin(self) -> None:
        """Find out what is to be read."""
        self.now_us = (await self._rows.find_changes(_NEVER_US)).now_us
        now_s = self.now_us // _SECOND_US
        self._limits = limits_at(now_s)
        first_s = first_hour_s(now_s)
        counts = await self._rows.count_by_hour(first_s)
        self._unread = _spans({hour: count.flows for hour, count in counts.items()}, first_s)
        self._recounted_at = time.monotonic()

    async def read_more(self) -> None:
        """Read the next span of rows that are not counted yet."""
        if self._unread:
            await self._read_span(*self._unread[0])
            self._unread.pop(0)
        elif not self._is_older_read:
            await self._read_older()

    async def read_all(self) -> None:
        """Count all rows that are to be counted, however long it takes."""
        await self.begin()
        while not self.is_whole:
            await self.read_more()

    async def follow(self) -> None:
        """Count what has changed since the last time."""
        watched = islice(reversed(self._places), _MOST_WATCHED)
        changes = await self._rows.find_changes(self.now_us - _LOOK_BACK_US, watched)
        untold = [flow_id for flow_id, at_us in changes.changed.items() if self._told.get(flow_id) != at_us]
        for begin in range(0, len(untold), _ROWS_AT_ONCE):
            rows = await self._rows.read_flows(untold[begin : begin + _ROWS_AT_ONCE])
            for facts in map(facts_of, rows):
                self._apply(facts)
                self._told[facts.flow_id] = facts.updated_us or 0
        self._advance(changes.now_us)

    async def refresh(self) -> None:
        """Read anew what is known to be stale; or else count rows, or read what was read longest ago."""
        if self._stale:
            await self._read_tile(next(iter(self._stale)))
        elif time.monotonic() - self._recounted_at > _RECOUNT_INTERVAL_S:
            await self._recount()
        elif self._read_at:
            await self._read_tile(min(self._read_at, key=self._read_at.__getitem__))

    async def _recount(self) -> None:
        """Find the tiles whose rows are not those that are counted: some were added late or deleted."""
        counts = await self._rows.count_by_hour(first_hour_s(self.now_us // _SECOND_US))
        counted = {
            hour: HourCount(tile.flows, tile.created_us)
            for hour, tile in self.tiles.items()
            if hour is not None and tile.flows
        }
        self._stale |= {hour for hour in {*counts, *counted} if counts.get(hour) != counted.get(hour)}
        self._recounted_at = time.monotonic()

    async def _read_tile(self, key: TileKey) -> None:
        if key is not None:
            await self._read_span(key, key + HOUR_S)
            return
        await self._read_older()

    async def _read_older(self) -> None:
        flow_ids = await self._rows.find_older(first_hour_s(self.now_us // _SECOND_US))
        rows: list[Any] = []
        for begin in range(0, len(flow_ids), _ROWS_AT_ONCE):
            rows += await self._rows.read_flows(flow_ids[begin : begin + _ROWS_AT_ONCE])
        tiles = await self._tiles(rows)
        self._install([None], {None: tiles[None]} if None in tiles else {})
        self._is_older_read = True

    async def _read_span(self, since_s: int, until_s: int) -> None:
        first_s = first_hour_s(self.now_us // _SECOND_US)
        tiles = await self._tiles(await self._rows.read_span(max(since_s, first_s), until_s))
        keys = [key for key in self.tiles if key is not None and since_s <= key < until_s]
        self._install({*keys, *tiles}, tiles)

    async def _tiles(self, rows: list[Any]) -> dict[TileKey, Tile]:
        limits, first_s = self._limits, first_hour_s(self.now_us // _SECOND_US)
        settled_us = self.now_us - _HELD_US

        def work() -> dict[TileKey, Tile]:
            return tiles_of(map(facts_of, rows), limits, first_s=first_s, settled_us=settled_us)

        return await asyncio.to_thread(work)

    def _install(self, keys: Iterable[TileKey], tiles: Mapping[TileKey, Tile]) -> None:
        """Let these tiles take the places of those with these keys."""
        for key in keys:
            if former := self.tiles.pop(key, None):
                for engagement, sums in former.sums.items():
                    self.sums[engagement].add_all(sums, times=-1)
                for flow_id in former.held:
                    self._places.pop(flow_id, None)
            self._read_at.pop(key, None)
            self._stale.discard(key)
            if tile := tiles.get(key):
                for flow_id in tile.held:
                    self._take_back(flow_id)
                    self._places[flow_id] = key
                self.tiles[key] = tile
                for engagement, sums in tile.sums.items():
                    self.sums[engagement].add_all(sums)
                self._read_at[key] = time.monotonic()

    def _apply(self, facts: FlowFacts) -> None:
        """Count what a flow has become."""
        is_known = self._take_back(facts.flow_id)
        key = tile_key(facts, first_hour_s(self.now_us // _SECOND_US))
        if key is not None and any(since_s <= key < until_s for since_s, until_s in self._unread):
            return
        # What began a moment ago is held as long as that; of others nobody knows what they counted for.
        if not is_known and (facts.created_us or 0) < self.now_us - _HELD_US // 2:
            self._stale.add(key)
        elif key is not None or facts.is_open:
            self._count(facts, key)

    def _count(self, facts: FlowFacts, key: TileKey) -> None:
        tile = self.tiles.setdefault(key, Tile())
        tile.add(facts, self._limits, settled_us=self.now_us - _HELD_US)
        self.sums[facts.engagement_id].add(facts.dated, self._limits)
        if facts.flow_id in tile.held:
            self._places[facts.flow_id] = key
        self._read_at.setdefault(key, time.monotonic())

    def _take_back(self, flow_id: UUID) -> bool:
        if flow_id not in self._places:
            return False
        facts = self.tiles[self._places.pop(flow_id)].take_back(flow_id, self._limits)
        self.sums[facts.engagement_id].add(facts.dated, self._limits, times=-1)
        return True

    def _advance(self, now_us: int) -> None:
        """Let time go on: forget steps and tiles that are too old, and let go of flows that have settled."""
        self.now_us = max(self.now_us, now_us)
        self._told = {
            flow_id: at_us for flow_id, at_us in self._told.items() if at_us > self.now_us - 2 * _LOOK_BACK_US
        }
        settled_us = self.now_us - _HELD_US
        for tile in self.tiles.values():
            for flow_id in [one for one, facts in tile.held.items() if is_settled(facts, settled_us)]:
                del tile.held[flow_id]
                del self._places[flow_id]
        limits = limits_at(self.now_us // _SECOND_US)
        if limits != self._limits:
            self._limits = limits
            for sums in [
                *self.sums.values(),
                *(s for tile in self.tiles.values() for s in tile.sums.values()),
            ]:
                sums.forget(limits)
            self._forget_tiles(first_hour_s(self.now_us // _SECOND_US))

    def _forget_tiles(self, first_s: int) -> None:
        for key in [key for key in self.tiles if key is not None and key < first_s]:
            still_open = [facts for facts in self.tiles[key].held.values() if facts.is_open]
            self._install([key], {})
            for facts in still_open:
                self._count(facts, None)


def _spans(counts: Mapping[int, int], first_s: int) -> list[tuple[int, int]]:
    """Return spans of whole hours with about as many rows as are read at once, the latest first.

    They leave nothing out: what begins meanwhile in an hour that had no flows is read, too.
    """
    spans: list[tuple[int, int]] = []
    until_s, rows = max(counts, default=first_s) + HOUR_S, 0
    for hour_s, flows in sorted(counts.items(), reverse=True):
        if rows and rows + flows > _ROWS_AT_ONCE:
            spans.append((hour_s + HOUR_S, until_s))
            until_s, rows = hour_s + HOUR_S, 0
        rows += flows
    if rows:
        spans.append((first_s, until_s))
    return spans
