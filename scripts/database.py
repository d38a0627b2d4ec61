"""Work on the database of DATABASE_URL, for commands that are not asynchronous themselves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow.repository.database import DatabaseSettings, make_engine, session_factory, translated_errors

Found = TypeVar("Found")


def with_engine(work: Callable[[AsyncEngine], Awaitable[Found]]) -> Found:
    """Return what the work returns, which gets an engine of its own."""

    async def run() -> Found:
        engine = make_engine(DatabaseSettings())
        try:
            async with translated_errors():
                return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def with_session(work: Callable[[AsyncSession], Awaitable[Found]]) -> Found:
    """Return what the work returns, which gets a session that is committed unless it fails."""

    async def run(engine: AsyncEngine) -> Found:
        async with session_factory(engine).begin() as session:
            return await work(session)

    return with_engine(run)
