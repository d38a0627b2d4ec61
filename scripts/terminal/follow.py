"""Changes of an engagement's flows as they are committed, for as long as somebody follows them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow.domain import DatabaseUnavailable
from masterflow.repository.database import session_factory, translated_errors
from masterflow.repository.status.reads import FlowScope
from masterflow.status.live.changes import ChangeFeed
from masterflow.status.live.listeners import Change, Notice
from masterflow.status.views import FlowSummary

_RETRY_INTERVAL_S: Final = 1.0

#: A page that is too slow is cut, because it can ask anew. This one is alone, and would only fall silent.
_MOST_PENDING: Final = 1_000_000

Found = TypeVar("Found")


class OutageDisplay(Protocol):
    """What shows that the database is away, and that it is back."""

    def show_outage(self, sentence: str) -> None:
        """Say once that the database is away."""
        ...

    def show_recovery(self) -> None:
        """Say that it goes on, if that was in doubt."""
        ...


class Follower:
    """One who follows flows; after the first answer a database that is away is waited for."""

    def __init__(self, engine: AsyncEngine, scope: FlowScope, display: OutageDisplay) -> None:
        self._sessions = session_factory(engine)
        self.scope = scope
        self._display = display

    async def changes(self, flow_id: UUID | None = None) -> AsyncGenerator[list[FlowSummary]]:
        """Yield nothing as soon as no change can be missed any more, and then the flows that changed.

        What raises DatabaseUnavailable does so before that.
        """
        async with self._feed() as feed, feed.listening(self.scope, flow_id) as listener:
            while True:
                news = await listener.told()
                self._pass_on([item for item in news if isinstance(item, Notice)])
                changed = [item.summary for item in news if isinstance(item, Change)]
                if changed or any(isinstance(item, Notice) and item.event == "ready" for item in news):
                    yield changed

    async def read(self, work: Callable[[AsyncSession], Awaitable[Found]]) -> Found:
        """Return what the work returns, however long the database is away."""
        while True:
            try:
                async with self._sessions() as session, translated_errors():
                    found = await work(session)
            except DatabaseUnavailable as error:
                self._display.show_outage(str(error))
                await asyncio.sleep(_RETRY_INTERVAL_S)
            else:
                self._display.show_recovery()
                return found

    @asynccontextmanager
    async def _feed(self) -> AsyncIterator[ChangeFeed]:
        feed = ChangeFeed(self._sessions, most=1, most_per_account=1, most_pending=_MOST_PENDING)
        poller = feed.polling.start()
        try:
            yield feed
        finally:
            poller.cancel()
            with suppress(asyncio.CancelledError):
                await poller

    def _pass_on(self, notices: list[Notice]) -> None:
        for notice in notices:
            if notice.event == "unavailable":
                self._display.show_outage(notice.detail)
            elif notice.event == "available":
                self._display.show_recovery()
