"""What has just changed in the rows, told to all listeners by one poller per process.

The database notifies nobody, so that no writer waits and nothing in it has to change. `updated_at` is
written before the commit, so a poll looks back and leaves out what it has told.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import DatabaseUnavailable, TransientError
from masterflow.domain.clock import from_microseconds, to_microseconds
from masterflow.domain.errors import DatabaseMisconfigured
from masterflow.repository.database import translated_errors
from masterflow.repository.status.changes import (
    find_changes,
    find_missed_changes,
    read_open_flows,
    read_summaries,
)
from masterflow.repository.status.reads import FlowScope
from masterflow.status.live.background import BackgroundTask
from masterflow.status.live.listeners import MOST_PENDING, Change, Listener
from masterflow.status.live.outages import Outages
from masterflow.status.live.watch import LOOK_BACK, Watch
from masterflow.status.reading.rows import summary_of

_log = logging.getLogger(__name__)

_INTERVAL_S: Final = 0.25
_TIDY_INTERVAL_S: Final = 10.0
_SUMMARIES_AT_ONCE: Final = 500
_MOST_OPEN_FLOWS: Final = 20_000
_LONGEST_ABSENCE: Final = timedelta(hours=1)


class TooManyStreams(TransientError):
    """As many event streams are open as may be."""

    reason = "too_many_streams"


class ChangeFeed:
    """Polls for the accounts that somebody listens to, and for nothing else."""

    def __init__(
        self,
        sessions: async_sessionmaker[AsyncSession],
        *,
        most: int,
        most_per_account: int,
        most_pending: int | None = None,
    ) -> None:
        self._sessions = sessions
        self._most_pending = most_pending
        self._most, self._most_per_account = most, most_per_account
        self._listeners: set[Listener] = set()
        self._per_account: Counter[UUID] = Counter()
        self._watch = Watch()
        self._epoch = secrets.token_hex(4)
        self.outages = Outages(self._listeners)
        self._begins = asyncio.Lock()
        self._catching_up = asyncio.Semaphore(2)
        self._tidied_at = 0.0
        #: What looks for changes, and says if it cannot.
        self.polling = BackgroundTask("The look for changes", self._turn, when_told=self._note_outage)
        #: How long the last poll took.
        self.poll_s = 0.0

    @property
    def open_streams(self) -> int:
        """Return how many listen."""
        return len(self._listeners)

    @asynccontextmanager
    async def listening(
        self, scope: FlowScope, flow_id: UUID | None = None, *, last_event_id: str = ""
    ) -> AsyncIterator[Listener]:
        """Give a listener to whom every change is told that becomes visible from now on.

        With the id of the last event they saw, also what they missed; or `reset`, if that is too much:
        they are to read anew what they show. A change may be told twice. What raises
        DatabaseUnavailable may work later.

        Raises:
            TooManyStreams: no more of them are allowed.
        """
        account = scope.client_account_id
        if len(self._listeners) >= self._most or self._per_account[account] >= self._most_per_account:
            raise TooManyStreams("Too many event streams are open; close some, or try again later.")
        listener = Listener(scope, flow_id, most_pending=self._most_pending)
        self._listeners.add(listener)
        self._per_account[account] += 1
        try:
            await self._watch_account(account)
            if last_event_id:
                await self._tell_missed(listener, last_event_id)
            listener.notify("ready", event_id=self._event_id)
            self.outages.tell(listener)
            yield listener
        finally:
            self._listeners.discard(listener)
            self._per_account[account] -= 1

    async def run(self) -> None:
        """Poll until cancelled, whatever happens."""
        await self.polling.run()

    async def _turn(self) -> float | None:
        if not self._watch.accounts:
            return None
        started = time.monotonic()
        try:
            await self._poll()
        finally:
            self.poll_s = time.monotonic() - started
            self._tidy()
        # However big the accounts are, polling keeps one connection busy for half of the time at most.
        return max(_INTERVAL_S, self.poll_s)

    def _note_outage(self, error: Exception | None) -> None:
        """Tell all listeners that no changes are told for now, and why, or that they are."""
        is_away = isinstance(error, DatabaseUnavailable)
        away = "The database does not answer for now."
        if isinstance(error, DatabaseMisconfigured):
            away = str(error)
        self.outages.note("postgres", away if is_away else None)
        is_broken = error is not None and not is_away
        self.outages.note("api", "Changes cannot be told for now." if is_broken else None)

    def close(self) -> None:
        """End all streams."""
        for listener in self._listeners:
            listener.cut()

    async def _watch_account(self, account: UUID) -> None:
        async with self._begins:
            if account in self._watch.accounts:
                return
            async with self._sessions() as db:
                now, open_flows = await read_open_flows(db, [account], most=_MOST_OPEN_FLOWS)
                known = await find_changes(db, [account], flow_ids=[], since=now - LOOK_BACK)
            if len(open_flows) == _MOST_OPEN_FLOWS:
                _log.warning("Account %s has more open flows than are followed one by one.", account)
            self._watch.begin(account, now=now, open_flows=open_flows, known=known)
            self.polling.wake()

    async def _poll(self) -> None:
        accounts = list(self._watch.accounts)
        flow_ids = self._watch.flow_ids + [
            listener.flow_id for listener in self._listeners if listener.flow_id
        ]
        async with translated_errors(), self._sessions() as db:
            found = await find_changes(db, accounts, flow_ids=flow_ids, since=self._watch.since)
            untold = self._watch.untold(found)
            for begin in range(0, len(untold), _SUMMARIES_AT_ONCE):
                some = untold[begin : begin + _SUMMARIES_AT_ONCE]
                for row in await read_summaries(db, accounts, flow_ids=some):
                    self._tell(row)

    def _tell(self, row: RowMapping) -> None:
        self._watch.number += 1
        change = self._change_of(row)
        self._watch.note(change, row["updated_at"], now=row["now"])
        for listener in self._listeners:
            if listener.wants(change):
                listener.offer(change)

    def _change_of(self, row: RowMapping) -> Change:
        return Change.of(
            self._watch.number,
            self._event_id,
            summary=summary_of(row),
            client_account_id=row["client_account_id"],
        )

    @property
    def _event_id(self) -> str:
        return f"{self._epoch}-{self._watch.number}-{to_microseconds(self._watch.newest)}"

    async def _tell_missed(self, listener: Listener, last_event_id: str) -> None:
        epoch, number, microseconds = _parts(last_event_id)
        missed: list[Change] | None = None
        if epoch == self._epoch:
            missed = self._watch.told_after(number, listener.scope.client_account_id)
        if missed is None:
            missed = await self._missed_in_rows(listener, microseconds)
        if missed is None:
            listener.notify("reset")
            return
        for change in missed:
            if listener.wants(change):
                listener.offer(self._watch.recent(change.summary.flow_id) or change)

    async def _missed_in_rows(self, listener: Listener, microseconds: int) -> list[Change] | None:
        since = from_microseconds(microseconds) - LOOK_BACK
        if since < self._watch.newest - _LONGEST_ABSENCE:
            return None
        async with self._catching_up, self._sessions() as db:
            flow_ids = await find_missed_changes(
                db, listener.scope, flow_id=listener.flow_id, since=since, most=MOST_PENDING
            )
            if len(flow_ids) == MOST_PENDING:
                return None
            account = listener.scope.client_account_id
            return [self._change_of(row) for row in await read_summaries(db, [account], flow_ids=flow_ids)]

    def _tidy(self) -> None:
        if time.monotonic() > self._tidied_at + _TIDY_INTERVAL_S:
            self._tidied_at = time.monotonic()
            self._watch.tidy({listener.scope.client_account_id for listener in self._listeners})


def _parts(event_id: str) -> tuple[str, int, int]:
    """Return epoch, number and microseconds of an event id; of a foreign one, what is too long ago."""
    parts: list[Any] = event_id.split("-")
    try:
        epoch, number, microseconds = parts
        from_microseconds(int(microseconds))
        return epoch, int(number), max(0, int(microseconds))
    except (ValueError, OverflowError):
        return "", 0, 0
