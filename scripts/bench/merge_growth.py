"""What age costs: a flow of many events, and a table of many updates."""

import random
import time
from statistics import median
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from masterflow.domain.tenant import flow_context
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.bench.merge_load import Workload, fill

_TABLE: Final = "migration.crewai_flow_state_extensions"

_AGE_BATCH: Final = 50
_BATCHES_A_VACUUM: Final = 100
_FLOWS: Final = 1_000
_FLOWS_A_BATCH: Final = 100

# When autovacuum takes a table on, by its defaults. It wakes once a minute, far too seldom for this pace.
_VACUUM_AFTER: Final = 50 + _FLOWS // 5


async def cost_of_age(engine: AsyncEngine, events: int) -> str:
    """Feed one flow for long; compare the cost of its late events to that of event 200."""
    workload = Workload(flow_context(uuid4(), uuid4(), "bench"))
    durations_s = []
    async with engine.connect() as connection, _janitor(engine).connect() as janitor:
        flow_ids = await fill(connection, workload, 1)
        session = AsyncSession(connection)
        for number in range(events // _AGE_BATCH):
            durations_s.append(await _merge(session, workload, flow_ids))
            if number % _BATCHES_A_VACUUM == 0:
                await janitor.execute(text(f"vacuum {_TABLE}"))
        await session.close()
    ratio = median(durations_s[-40:]) / median(durations_s[4:44])
    return f"Event {events:,} of a flow costs {ratio:.2f} times event 200."


async def bloat(engine: AsyncEngine, updates: int) -> str:
    """Update full rows for long, with a vacuum when autovacuum would be due; tell the table's growth."""
    workload = Workload(flow_context(uuid4(), uuid4(), "bench"))
    async with engine.connect() as connection, _janitor(engine).connect() as janitor:
        flow_ids = await fill(connection, workload, _FLOWS)
        before = await _bytes_when_compact(janitor)
        session = AsyncSession(connection)
        dead_rows = 0
        for _ in range(updates // _FLOWS_A_BATCH):
            await _merge(session, workload, random.sample(flow_ids, _FLOWS_A_BATCH))
            dead_rows += _FLOWS_A_BATCH
            if dead_rows > _VACUUM_AFTER:
                await janitor.execute(text(f"vacuum {_TABLE}"))
                dead_rows = 0
        await session.close()
        after = await _bytes(janitor)
        compact = await _bytes_when_compact(janitor)
    return (
        f"{updates:,} updates of {_FLOWS:,} full rows: {before:,} bytes became {after:,},"
        f" {after / compact:.2f} times what the same rows take when compact."
    )


def _janitor(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


async def _merge(session: AsyncSession, workload: Workload, flow_ids: list[UUID]) -> float:
    """Merge a batch and commit; return the seconds that took."""
    batch = workload.batch(flow_ids, max(_AGE_BATCH, len(flow_ids)))
    began = time.perf_counter()
    await apply_events(session, batch)
    await session.commit()
    return time.perf_counter() - began


async def _bytes(connection: AsyncConnection) -> int:
    return int(await connection.scalar(text(f"select pg_total_relation_size('{_TABLE}')")) or 0)


async def _bytes_when_compact(connection: AsyncConnection) -> int:
    await connection.execute(text(f"vacuum full {_TABLE}"))
    return await _bytes(connection)
