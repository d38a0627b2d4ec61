"""The books of the fleets that somebody looks at, kept equal to the rows at a small share of a connection."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.repository.status.fleet import FleetRows
from masterflow.status.fleet.book import FleetBook
from masterflow.status.live.background import BackgroundTask

#: What following costs: after each turn the connection rests for so many times as long, so that it is busy
#: for less than 2 % of the time, however big a fleet is.
_REST: Final = 50.0

_INTERVAL_S: Final = 2.0
_SWEEP_INTERVAL_S: Final = 10.0

#: A book that nobody has asked for in so long is closed.
_KEPT_S: Final = 900.0
_MOST_BOOKS: Final = 200

#: Whoever asks first waits for so long until all is counted, and then gets what is.
_FIRST_WAIT_S: Final = 2.0


@dataclass(slots=True)
class _Entry:
    book: FleetBook
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked_at: float = 0.0
    followed_at: float = 0.0
    swept_at: float = field(default_factory=time.monotonic)


class Fleets:
    """Opens a book when it is asked for, and lets `following` keep it for as long as it is."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions
        self._entries: dict[UUID | None, _Entry] = {}
        self._opening = asyncio.Semaphore(2)
        #: What keeps the books, and says if it cannot.
        self.following = BackgroundTask("The count of flows", self._turn)

    async def book(self, client_account_id: UUID | None) -> FleetBook:
        """Return the book of a client account, or that of all if None; it may not be whole yet.

        What raises DatabaseUnavailable may work later.
        """
        entry = self._entries.get(client_account_id)
        if entry is None:
            entry = _Entry(FleetBook(FleetRows(self._sessions, client_account_id)))
            self._entries[client_account_id] = entry
        entry.asked_at = time.monotonic()
        self._close_unused()
        if not entry.book.is_whole:
            async with self._opening:
                await self._read(entry, until=entry.asked_at + _FIRST_WAIT_S)
        self.following.wake()
        return entry.book

    async def _turn(self) -> float | None:
        self._close_unused()
        if not self._entries:
            return None
        # Those that are not whole first, then whichever was followed longest ago.
        entry = min(self._entries.values(), key=lambda one: (one.book.is_whole, one.followed_at))
        started = time.monotonic()
        if not entry.book.is_whole:
            await self._read(entry, until=started)
            return time.monotonic() - started
        async with entry.lock:
            await entry.book.follow()
            entry.followed_at = time.monotonic()
            if entry.book.is_stale or entry.followed_at - entry.swept_at > _SWEEP_INTERVAL_S:
                entry.swept_at = entry.followed_at
                await entry.book.refresh()
        return max(_INTERVAL_S / len(self._entries), _REST * (time.monotonic() - started))

    async def _read(self, entry: _Entry, *, until: float) -> None:
        """Read rows until all are counted, or that time has come; at least one span of them."""
        book, is_first = entry.book, True
        while not book.is_whole and (is_first or time.monotonic() < until):
            async with entry.lock:
                if not book.now_us:
                    await book.begin()
                elif not book.is_whole:
                    await book.read_more()
                if time.monotonic() - entry.followed_at > _SWEEP_INTERVAL_S:
                    await book.follow()
                    entry.followed_at = time.monotonic()
            is_first = False

    def _close_unused(self) -> None:
        oldest = time.monotonic() - _KEPT_S
        by_age = sorted(self._entries, key=lambda account: self._entries[account].asked_at)
        beyond = by_age[: max(0, len(by_age) - _MOST_BOOKS)]
        for account in by_age:
            if self._entries[account].asked_at < oldest or account in beyond:
                del self._entries[account]
