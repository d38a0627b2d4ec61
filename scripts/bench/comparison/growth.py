"""What age and size cost: a flow of many events, and a table of many rows, merged as a worker does it."""

import asyncio
import random
import time
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from masterflow.domain.tenant import flow_context
from masterflow.repository.database import DatabaseSettings, make_engine
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.bench.comparison.servers import Place
from masterflow.scripts.bench.merge_load import Workload, fill

_BATCH: Final = 50
_TIMED: Final = 40
_FLOWS: Final = 100
_FLOWS_A_BATCH: Final = 20
_BATCHES_A_VACUUM: Final = 100
_ROWS_A_STATEMENT: Final = 100_000
_VACUUM: Final = text("vacuum migration.crewai_flow_state_extensions")
_FILL: Final = text(Path(__file__).parents[1].joinpath("fill_flows.sql").read_text(encoding="utf-8"))


def ages(place: Place, marks: tuple[int, ...]) -> list[dict[str, Any]]:
    """Time the events of one flow when it has had so many."""
    with place.fresh("ages") as settings:
        return asyncio.run(_ages(settings["DATABASE_URL"], marks))


def tables(place: Place, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Time the events of a hundred flows in a table of so many rows."""
    with place.fresh("tables") as settings:
        return asyncio.run(_tables(settings["DATABASE_URL"], sizes))


async def _ages(url: str, marks: tuple[int, ...]) -> list[dict[str, Any]]:
    engine, workload = _engine(url), Workload(flow_context(uuid4(), uuid4(), "bench"))
    found: list[dict[str, Any]] = []
    async with engine.connect() as connection, _janitor(engine).connect() as janitor:
        flow_ids = await fill(connection, workload, 1)
        session = AsyncSession(connection)
        newest: list[float] = []
        for number in range(max(marks) // _BATCH):
            newest = [*newest[1 - _TIMED :], await _merge(session, workload, flow_ids)]
            if number % _BATCHES_A_VACUUM == 0:
                await janitor.execute(_VACUUM)
            if (events := (number + 1) * _BATCH) in marks:
                found.append({"events": events, "us_per_event": median(newest) / _BATCH * 1e6})
        await session.close()
    await engine.dispose()
    return found


async def _tables(url: str, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    engine, workload = _engine(url), Workload(flow_context(uuid4(), uuid4(), "bench"))
    found: list[dict[str, Any]] = []
    async with engine.connect() as connection, _janitor(engine).connect() as janitor:
        flow_ids = await fill(connection, workload, _FLOWS)
        rows = 0
        for size in sizes:
            await _add_rows(janitor, rows, size)
            rows = size
            session = AsyncSession(connection)
            chosen = [random.sample(flow_ids, _FLOWS_A_BATCH) for _ in range(_TIMED)]
            durations_s = [await _merge(session, workload, ids) for ids in chosen]
            await session.close()
            found.append({"rows": size, "us_per_event": median(durations_s) / _BATCH * 1e6})
    await engine.dispose()
    return found


async def _add_rows(janitor: AsyncConnection, first: int, last: int) -> None:
    for begin in range(first, last, _ROWS_A_STATEMENT):
        end = min(begin + _ROWS_A_STATEMENT, last) - 1
        values = {"engagement": uuid4(), "flows": last, "first": begin, "last": end}
        await janitor.execute(_FILL, values)
    await janitor.execute(text("vacuum analyze migration.crewai_flow_state_extensions"))
    await janitor.execute(text("checkpoint"))


async def _merge(session: AsyncSession, workload: Workload, flow_ids: list[UUID]) -> float:
    """Merge a batch and commit; return the seconds that took."""
    batch = workload.batch(flow_ids, _BATCH)
    began = time.perf_counter()
    await apply_events(session, batch)
    await session.commit()
    return time.perf_counter() - began


def _engine(url: str) -> AsyncEngine:
    settings = {"DATABASE_URL": url, "ENRICHMENT_STATEMENT_TIMEOUT_S": 600}
    return make_engine(DatabaseSettings.model_validate(settings), pool_size=2)


def _janitor(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")
