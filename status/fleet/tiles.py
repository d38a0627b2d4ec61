"""Tiles of a fleet: what the flows that began in one hour count for together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from masterflow.domain.fleet.facts import CauseSpan, FlowFacts
from masterflow.domain.fleet.sums import Sums
from masterflow.domain.fleet.windows import HORIZON_S

HOUR_S: Final = 3_600

#: Seconds since 1970 at which the hour of a tile begins; None for open flows that began before the horizon.
TileKey = int | None


@dataclass(slots=True)
class Tile:
    """The sums of the flows that began in one hour, and those of its flows that are held one by one."""

    sums: defaultdict[UUID, Sums] = field(default_factory=lambda: defaultdict(Sums))
    #: Facts of the flows whose change takes back what they counted for: open ones, and those just changed.
    held: dict[UUID, FlowFacts] = field(default_factory=dict)
    #: By engagement and cause; only ever wider until the tile is read anew.
    causes: dict[tuple[UUID, str], CauseSpan] = field(default_factory=dict)
    flows: int = 0
    #: The sum of when they began, in microseconds since 1970.
    created_us: int = 0

    def add(self, facts: FlowFacts, limits: Mapping[int, int], *, settled_us: int) -> None:
        """Count a flow; it is held unless it ended, and nothing changed it since that time."""
        self.flows += 1
        self.created_us += facts.created_us or 0
        self.sums[facts.engagement_id].add(facts.dated, limits)
        for cause, span in facts.causes.items():
            known = self.causes.get((facts.engagement_id, cause))
            self.causes[facts.engagement_id, cause] = known.with_(span) if known else span
        if not is_settled(facts, settled_us):
            self.held[facts.flow_id] = facts

    def take_back(self, flow_id: UUID, limits: Mapping[int, int]) -> FlowFacts:
        """Count a flow that is held no more, and return what it counted for."""
        facts = self.held.pop(flow_id)
        self.flows -= 1
        self.created_us -= facts.created_us or 0
        self.sums[facts.engagement_id].add(facts.dated, limits, times=-1)
        return facts


def is_settled(facts: FlowFacts, settled_us: int) -> bool:
    """Return whether a flow ended, and neither began nor changed since a time."""
    newest_us = max(facts.updated_us or 0, facts.created_us or 0)
    return not facts.is_open and newest_us < settled_us


def first_hour_s(now_s: int) -> int:
    """Return the start of the first hour whose flows count whether they are open or not."""
    return (now_s - HORIZON_S) - (now_s - HORIZON_S) % HOUR_S


def tile_key(facts: FlowFacts, first_s: int) -> TileKey:
    """Return in which tile a flow counts."""
    if facts.created_us is None or facts.created_us < first_s * 1_000_000:
        return None
    created_s = facts.created_us // 1_000_000
    return created_s - created_s % HOUR_S


def tiles_of(
    flows: Iterable[FlowFacts], limits: Mapping[int, int], *, first_s: int, settled_us: int
) -> dict[TileKey, Tile]:
    """Return the tiles of these flows; it only computes, so that a thread may do it."""
    tiles: dict[TileKey, Tile] = {}
    for facts in flows:
        key = tile_key(facts, first_s)
        if key is not None or facts.is_open:
            tiles.setdefault(key, Tile()).add(facts, limits, settled_us=settled_us)
    return tiles
