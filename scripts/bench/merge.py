"""Time the merge beside two baselines in one run: rows merged in Python, and one event a transaction.

All lists are full; then a flow grows old, and a table is updated for long.
Run it as `.venv/bin/python -m masterflow.scripts.bench.merge`; DATABASE_URL names another server.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from masterflow.domain.events import (
    AnyEvent,
)
from masterflow.domain.tenant import flow_context
from masterflow.repository.database import DatabaseSettings, make_engine
from masterflow.repository.merge.deltas import sum_up
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.tables import CrewAIFlowStateExtensions, create_tables
from masterflow.scripts.bench.merge_growth import bloat, cost_of_age
from masterflow.scripts.bench.merge_load import Workload, fill
from masterflow.scripts.embedded import EmbeddedPostgres
from masterflow.scripts.terminal.entrance import run_program
from masterflow.tasks.delivery.loop import spare_collector

_BATCH = 500

Merge = Callable[[AsyncSession, Sequence[AnyEvent]], Awaitable[object]]


class Figures(NamedTuple):
    """What one run took."""

    events_per_s: float
    wal_bytes_per_event: float


async def merge_in_python(session: AsyncSession, events: Sequence[AnyEvent]) -> None:
    """Merge as one would without SQL: lock and read the rows, change the documents, write them back."""
    table = CrewAIFlowStateExtensions
    deltas = {delta.flow_id: delta for delta in sum_up(events)}
    query = select(table).where(table.flow_id.in_(deltas)).order_by(table.flow_id).with_for_update()
    for row in (await session.execute(query.execution_options(populate_existing=True))).scalars():
        delta = deltas[row.flow_id]
        for name, fresh in (
            ("phase_transitions", delta.transitions),
            ("error_history", delta.errors),
            ("agent_collaboration_log", delta.collaborations),
        ):
            if fresh:
                setattr(row, name, [*getattr(row, name), *fresh][-100:])
        if delta.times:
            row.phase_execution_times = {**(row.phase_execution_times or {}), **delta.times}
        if delta.metadata.values:
            row.flow_metadata = {**(row.flow_metadata or {}), **delta.metadata.values}
    await session.flush()


async def timed(connection: AsyncConnection, merge: Merge, batches: Sequence[Sequence[AnyEvent]]) -> Figures:
    """Merge and commit the batches one after the other; the first two only warm up."""
    session = AsyncSession(connection, expire_on_commit=False)
    durations_s = []
    wal = ""
    for number, batch in enumerate(batches):
        if number == 2:
            wal = await _wal_position(session)
        began = time.perf_counter()
        await merge(session, batch)
        await session.commit()
        durations_s.append(time.perf_counter() - began)
    events = sum(map(len, batches[2:]))
    written = await session.scalar(
        text("select pg_wal_lsn_diff(pg_current_wal_lsn(), cast(:since as pg_lsn))"), {"since": wal}
    )
    await session.close()
    return Figures(len(batches[-1]) / median(durations_s[2:]), float(written or 0) / events)


async def _wal_position(session: AsyncSession) -> str:
    position = await session.scalar(text("select cast(pg_current_wal_lsn() as text)"))
    await session.commit()
    return str(position)


async def compare(connection: AsyncConnection, rounds: int) -> Table:
    """Time the merge and both baselines over few and many flows."""
    workload = Workload(flow_context(uuid4(), uuid4(), "bench"))
    flow_ids = await fill(connection, workload, _BATCH)
    table = Table("events a batch", "over flows", "how", "events/s", "to one by one", "WAL bytes/event")
    singles = [workload.batch([random.choice(flow_ids)], 1) for _ in range(40 * rounds)]  # noqa: S311
    single = await timed(connection, apply_events, singles)
    rows = [(1, 1, "one by one", single)]
    for flows in (20, 100, _BATCH):
        for name, merge in (("the merge", apply_events), ("merged in Python", merge_in_python)):
            batches = [workload.batch(random.sample(flow_ids, flows), _BATCH) for _ in range(rounds + 2)]
            rows.append((_BATCH, flows, name, await timed(connection, merge, batches)))
    for events, flows, name, figures in rows:
        ratio = figures.events_per_s / single.events_per_s
        table.add_row(
            str(events),
            str(flows),
            name,
            f"{figures.events_per_s:,.0f}",
            f"{ratio:.1f}",
            f"{figures.wal_bytes_per_event:,.0f}",
        )
    return table


async def run(database_url: str, *, rounds: int, age: int) -> None:
    """Print the comparison and what age costs."""
    console = Console()
    engine = make_engine(DatabaseSettings.model_validate({"DATABASE_URL": database_url}), pool_size=2)
    await create_tables(engine)
    async with engine.connect() as connection:
        version = await connection.scalar(text("show server_version"))
        compression = await connection.scalar(text("show default_toast_compression"))
        console.print(f"PostgreSQL {version}, {compression}, one connection, synchronous_commit on")
        console.print(await compare(connection, rounds))
    if age:
        console.print(await cost_of_age(engine, age))
        console.print(await bloat(engine, age))
    await engine.dispose()


def main(
    rounds: int = typer.Option(12, help="batches counted per row"),
    age: int = typer.Option(100_000, help="events of a flow that grows old; 0 leaves age out"),
    database_url: str = typer.Option("", envvar="DATABASE_URL", help="a server to use instead of an own one"),
) -> None:
    """Compare the merge with its baselines."""
    spare_collector()  # As a worker does.
    with ExitStack() as stack:
        if not database_url:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            database_url = stack.enter_context(EmbeddedPostgres(folder / "postgres")).url
        asyncio.run(run(database_url, rounds=rounds, age=age))


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
