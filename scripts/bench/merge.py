"""Time the merge beside two baselines in one run: rows merged in Python, and one event a transaction.

All lists are full. Run it as `.venv/bin/python -m scripts.bench.merge`; DATABASE_URL names another server.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from domain import FlowContext
from domain.events import (
    AgentCollaborated,
    AnyEvent,
    ErrorOccurred,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    new_event,
)
from domain.phases import PHASES
from domain.tenant import flow_context
from repository.database import DatabaseSettings, make_engine
from repository.deltas import sum_up
from repository.merges import apply_events
from repository.tables import CrewAIFlowStateExtensions, create_tables
from scripts.embedded import EmbeddedPostgres

_BATCH = 500
_SMALL_BATCH = 50
# Autovacuum wakes once a minute, long at this pace: in the field a flow takes hours for so many events.
_BATCHES_A_VACUUM = 100
_TABLE = "migration.crewai_flow_state_extensions"

Merge = Callable[[AsyncSession, Sequence[AnyEvent]], Awaitable[object]]


class Figures(NamedTuple):
    """What one run took."""

    events_per_s: float
    wal_bytes_per_event: float


class Workload:
    """Makes events in the proportions of a real flow: mostly transitions, few errors."""

    def __init__(self, context: FlowContext, seed: int = 7) -> None:
        self._context = context
        self._chance = random.Random(seed)  # noqa: S311 - the same events in every run

    def event(self, flow_id: UUID) -> AnyEvent:
        """Make one event of a kind by chance."""
        makers = [self.transition, self.timing, self.progress, self.collaboration, self.error]
        [make] = self._chance.choices(makers, weights=[40, 15, 20, 20, 5])
        return make(flow_id)

    def batch(self, flow_ids: Sequence[UUID], size: int) -> list[AnyEvent]:
        """Make events spread evenly over flows."""
        return [self.event(flow_ids[number % len(flow_ids)]) for number in range(size)]

    def transition(self, flow_id: UUID) -> AnyEvent:
        """Make a transition with two counts."""
        status = self._chance.choice(["processing", "completed"])
        metadata = {"records_processed": self._number(), "results_count": self._number()}
        return self._new(PhaseTransitioned, flow_id, phase=self._phase(), status=status, metadata=metadata)

    def timing(self, flow_id: UUID) -> AnyEvent:
        """Make a timing."""
        return self._new(PhaseTimed, flow_id, phase=self._phase(), execution_time_ms=self._number())

    def progress(self, flow_id: UUID) -> AnyEvent:
        """Make a snapshot."""
        snapshot = {"phase": self._phase(), "progress": self._number() % 100, "message": "columns mapped"}
        return self._new(ProgressReported, flow_id, snapshot=snapshot)

    def collaboration(self, flow_id: UUID) -> AnyEvent:
        """Make an entry of an agent."""
        entry = {"agent": "Schema Expert", "action": "mapped columns", "details": {"mapped": self._number()}}
        return self._new(AgentCollaborated, flow_id, entry=entry)

    def error(self, flow_id: UUID) -> AnyEvent:
        """Make an error."""
        return self._new(
            ErrorOccurred, flow_id, phase=self._phase(), error=f"row {self._number()}: bad address"
        )

    def full(self, flow_id: UUID) -> list[AnyEvent]:
        """Make what fills every list of a flow."""
        makers = (self.transition, self.collaboration, self.error)
        return [make(flow_id) for make in makers for _ in range(100)] + [
            self.timing(flow_id) for _ in range(20)
        ]

    def _new(self, kind: type[Any], flow_id: UUID, **fields: Any) -> AnyEvent:
        event: AnyEvent = new_event(kind, self._context, flow_id, **fields)
        return event

    def _phase(self) -> str:
        return self._chance.choice(PHASES)

    def _number(self) -> int:
        return self._chance.randrange(1_000)


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
        if delta.timings:
            times = {str(timing["phase"]): timing for timing in delta.timings}
            row.phase_execution_times = {**(row.phase_execution_times or {}), **times}
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


async def fill(
    connection: AsyncConnection, context: FlowContext, workload: Workload, count: int
) -> list[UUID]:
    """Make flows with full lists."""
    session = AsyncSession(connection)
    flow_ids = [uuid4() for _ in range(count)]
    tenant = context.model_dump()
    session.add_all(
        CrewAIFlowStateExtensions(flow_id=id_, flow_type="discovery", **tenant) for id_ in flow_ids
    )
    await session.commit()
    for start in range(0, count, 10):
        ids = flow_ids[start : start + 10]
        await apply_events(session, [event for flow_id in ids for event in workload.full(flow_id)])
        await session.commit()
    await session.close()
    return flow_ids


async def compare(connection: AsyncConnection, rounds: int) -> Table:
    """Time the merge and both baselines over few and many flows."""
    context = flow_context(uuid4(), uuid4(), "bench")
    workload = Workload(context)
    flow_ids = await fill(connection, context, workload, _BATCH)
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


async def grow_old(engine: AsyncEngine, events: int) -> str:
    """Feed one flow for long; compare the cost of its late events to event 200, and the table's size."""
    context = flow_context(uuid4(), uuid4(), "bench")
    workload = Workload(context)
    size = text(f"select pg_total_relation_size('{_TABLE}')")
    durations_s = []
    janitor = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection, janitor.connect() as autocommit:
        flow_ids = await fill(connection, context, workload, 1)
        await autocommit.execute(text(f"vacuum full {_TABLE}"))
        before = await autocommit.scalar(size)
        session = AsyncSession(connection)
        for number in range(events // _SMALL_BATCH):
            batch = workload.batch(flow_ids, _SMALL_BATCH)
            began = time.perf_counter()
            await apply_events(session, batch)
            await session.commit()
            durations_s.append(time.perf_counter() - began)
            if number % _BATCHES_A_VACUUM == 0:
                await autocommit.execute(text(f"vacuum {_TABLE}"))
        after = await autocommit.scalar(size)
        await session.close()
    ratio = median(durations_s[-40:]) / median(durations_s[4:44])
    return (
        f"Event {events:,} of a flow costs {ratio:.2f} times event 200. With a vacuum every "
        f"{_BATCHES_A_VACUUM * _SMALL_BATCH:,} events the table grew from {before:,} to {after:,} bytes."
    )


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
        console.print(await grow_old(engine, age))
    await engine.dispose()


def main(
    rounds: int = typer.Option(12, help="batches counted per row"),
    age: int = typer.Option(100_000, help="events of the flow that grows old; 0 leaves it out"),
    database_url: str = typer.Option("", envvar="DATABASE_URL", help="a server to use instead of an own one"),
) -> None:
    """Compare the merge with its baselines."""
    with ExitStack() as stack:
        if not database_url:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            database_url = stack.enter_context(EmbeddedPostgres(folder / "postgres")).url
        asyncio.run(run(database_url, rounds=rounds, age=age))


if __name__ == "__main__":
    typer.run(main)
