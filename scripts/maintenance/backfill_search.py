"""Finds the masters that are behind, page by page, and what is wrong between masters and children."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import DatabaseUnavailable
from masterflow.repository.backfill.reads import Page, Place, Scope, find_behind, find_orphans
from masterflow.repository.child_tables import unfit_tables
from masterflow.repository.database import translated_errors

_ATTEMPTS: Final = 60
_RETRY_INTERVAL_S: Final = 1.0


@dataclass(slots=True)
class Survey:
    """What nobody can catch up: it is counted and named, and never guessed."""

    scanned: int = 0
    behind: int = 0
    several_children: list[str] = field(default_factory=list)
    foreign_child: list[str] = field(default_factory=list)
    #: Child to the master it names, for at most 1,000 children.
    without_master: dict[str, str] = field(default_factory=dict)
    #: Child table to why none of its rows is looked at.
    left_alone: dict[str, str] = field(default_factory=dict)


class Search:
    """Looks through the masters of a scope, newest first; each page is a short transaction of its own."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], scope: Scope) -> None:
        self._sessions = sessions
        self._scope = scope

    async def survey(self) -> Survey:
        """Count what is behind, and list what cannot be caught up."""
        survey = Survey()
        async for page in self._pages():
            survey.scanned += page.scanned
            survey.behind += len(page.behind)
            survey.several_children += map(str, page.several)
            survey.foreign_child += map(str, page.foreign)
        async with translated_errors(), self._sessions() as session:
            orphans = await find_orphans(session, self._scope)
            survey.left_alone = await unfit_tables(session)
        survey.without_master = {str(child): str(master) for child, master in orphans.items()}
        return survey

    async def behind(self) -> AsyncIterator[list[UUID]]:
        """Yield the masters that are behind, a page at a time."""
        async for page in self._pages():
            yield page.behind

    async def _pages(self) -> AsyncIterator[Page]:
        place: Place | None = None
        while True:
            page = await self._page(place)
            yield page
            if page.end is None:
                return
            place = page.end

    async def _page(self, place: Place | None) -> Page:
        for _ in range(_ATTEMPTS):
            try:
                async with translated_errors(), self._sessions() as session:
                    return await find_behind(session, self._scope, after=place)
            except DatabaseUnavailable:
                await asyncio.sleep(_RETRY_INTERVAL_S)
        async with translated_errors(), self._sessions() as session:
            return await find_behind(session, self._scope, after=place)
