"""Postgres as a worker sees it: the reference model merges into rows, a flow's one at a time."""

import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

from masterflow.domain.errors import DatabaseUnavailable
from masterflow.domain.events import AnyEvent
from masterflow.repository.merge.merges import MergeOutcome
from tests.simulation.world.scheduler import Scheduler
from tests.support.events.reference_model import Row, row_after

_LOCK_POLL_S = 0.005


class Database:
    """Master rows, and every event that a commit has brought into them."""

    def __init__(self, scheduler: Scheduler, chance: Random) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self.rows: dict[UUID, Row] = {}
        self.first_rows: dict[UUID, Row] = {}
        self.came_at: dict[UUID, float] = {}
        #: What is in the rows, by its id.
        self.applied: dict[UUID, AnyEvent] = {}
        self.locked: set[UUID] = set()
        self.is_down = False
        self.hang_s = 0.0
        #: How often a commit takes effect, and nobody hears of it.
        self.deafness = 0.0
        self.refusal = 0.0

    def add_row(self, flow_id: UUID, row: Row) -> None:
        self.came_at[flow_id] = self._scheduler.now
        self.rows[flow_id], self.first_rows[flow_id] = row, copy.deepcopy(row)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["Transaction"]:
        self.pause()
        transaction = Transaction(self)
        try:
            yield transaction
            self.pause()
            transaction.commit()
            if self._chance.random() < self.deafness:
                raise DatabaseUnavailable("Postgres went away in the midst of a commit.")
        finally:
            transaction.end()

    def pause(self) -> None:
        """Take the time of a statement.

        Raises:
            DatabaseUnavailable: it is away, or took too long.
        """
        if self.hang_s:
            self._scheduler.pause(min(self.hang_s, 15.0))
            raise DatabaseUnavailable("Postgres took too long to answer.")
        self._scheduler.pause(self._chance.random() * 0.005)
        if self.is_down or self._chance.random() < self.refusal:
            raise DatabaseUnavailable("Postgres is away.")

    async def apply(self, transaction: "Transaction", events: Sequence[AnyEvent]) -> MergeOutcome:
        """Stand for `apply_events`."""
        by_flow: dict[UUID, list[AnyEvent]] = {}
        for event in events:
            by_flow.setdefault(event.flow_id, []).append(event)
        missing = frozenset(by_flow.keys() - self.rows.keys())
        for flow_id in sorted(by_flow.keys() - missing):
            while flow_id in self.locked:
                self._scheduler.pause(_LOCK_POLL_S)
            self.locked.add(flow_id)
            transaction.flow_ids.append(flow_id)
            self.pause()
            transaction.rows[flow_id] = row_after(self.rows[flow_id], by_flow[flow_id])
            transaction.events += by_flow[flow_id]
        return MergeOutcome(missing)


class Transaction:
    """What becomes of some rows, once it is committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.flow_ids: list[UUID] = []
        self.rows: dict[UUID, Any] = {}
        self.events: list[AnyEvent] = []

    def commit(self) -> None:
        self._database.rows.update(self.rows)
        self._database.applied.update({event.event_id: event for event in self.events})

    def end(self) -> None:
        self._database.locked.difference_update(self.flow_ids)
