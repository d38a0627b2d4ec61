"""How many flows a list would find, how these stand, and what failed: as far as there is time to look."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.fleet.facts import FlowFacts, facts_of
from masterflow.domain.liveness import Liveness
from masterflow.repository.status.flow_list import (
    NEWEST_FIRST,
    STUCK_GROWTH,
    ListPlace,
    Looking,
    Part,
    Row,
    arguments_at,
    beyond,
)
from masterflow.repository.status.reads import FlowScope, Place
from masterflow.repository.status.wanted import FlowFilter

#: So many flows are read whole in the first statement, to be over soon.
_FIRST_READ: Final = 300


@dataclass(slots=True)
class Standing:
    """How many flows there are, and how these stand."""

    flows: int = 0
    lost: int = 0
    silent: int = 0
    overdue: int = 0
    waiting: int = 0

    def add(self, other: "Standing") -> None:
        """Count others too."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass(slots=True)
class FoundCounts:
    """What was counted among the flows that were looked at, the newest first."""

    #: By status and type.
    by_kind: dict[tuple[str, str], Standing] = field(default_factory=dict)
    #: How many of them have errors of a cause; only where flows are read whole.
    causes: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    searched: int = 0
    #: That were all flows.
    is_whole: bool = False

    def add(self, kind: tuple[str, str], standing: Standing) -> None:
        """Count flows of a status and a type."""
        self.by_kind.setdefault(kind, Standing()).add(standing)


async def count_flows(
    db: AsyncSession,
    scope: FlowScope,
    *,
    wanted: FlowFilter,
    held: Mapping[UUID, Liveness | None] | None = None,
    budget_s: float = 0.0,
) -> FoundCounts:
    """Return the flows that are meant by status and type; `held` is as for the list.

    Looking goes on until `budget_s` is spent; one part is looked at in any case. Raises DatabaseUnavailable.
    """
    counting = _Counting(db, scope, wanted, "created", ListPlace(now_us=time.time_ns() // 1_000), held or {})
    return await counting.count(until=time.monotonic() + budget_s)


async def count_causes(
    db: AsyncSession,
    scope: FlowScope,
    *,
    wanted: FlowFilter,
    held: Mapping[UUID, Liveness | None] | None = None,
    budget_s: float = 0.0,
) -> FoundCounts:
    """Return the flows that are meant and have errors, with the causes of these; looked for as above."""
    failed = replace(wanted, counted=replace(wanted.counted, has_failed=True))
    return await count_flows(db, scope, wanted=failed, held=held, budget_s=budget_s)


class _Counting(Looking):
    """One look at a list that counts what it finds."""

    async def count(self, *, until: float) -> FoundCounts:
        """Return what is counted until all was looked at, or time is up."""
        is_read = bool(self._wanted.counted)
        self._scanned = _FIRST_READ if is_read else 0
        found = FoundCounts()
        place: Place | None = None
        while True:
            began = time.monotonic()
            part = await self._counted_part("find_flow_facts" if is_read else "count_flows", place)
            if part.is_stuck:
                found, place, self._window = FoundCounts(), None, self._window * STUCK_GROWTH
                continue
            for row in part.rows:
                if is_read:
                    self._count_facts(found, facts_of(row))
                else:
                    found.add((row["flow_status"], row["flow_type"]), _standing(row))
            found.searched += part.searched
            place = part.end
            if place is None or not self._look_further(began=began, until=until):
                found.is_whole = place is None
                return found

    async def _counted_part(self, name: str, place: Place | None) -> Part:
        arguments = self._arguments | arguments_at(place, scanned=self._scanned or self._window)
        parts = NEWEST_FIRST | {"beyond": beyond(place, is_newer=False)}
        return self._part_of(await self._rows(name, parts, arguments | {"window": self._window}), place)

    def _count_facts(self, found: FoundCounts, facts: FlowFacts) -> None:
        counted = self._wanted.counted
        if not counted.fits(facts):
            return
        is_held = facts.flow_id in self._held
        liveness = self._held.get(facts.flow_id)
        standing = Standing(
            flows=1,
            lost=liveness == "lost" if is_held else facts.is_lost,
            silent=liveness == "silent",
            overdue=facts.is_overdue,
            waiting=facts.waiting_us is not None,
        )
        found.add((facts.status, facts.flow_type), standing)
        found.causes.setdefault((facts.status, facts.flow_type), Counter()).update(
            cause for cause, span in facts.causes.items() if counted.seen_at.holds(span.last_us)
        )


def _standing(row: Row) -> Standing:
    return Standing(**{one.name: row[one.name] for one in fields(Standing)})
