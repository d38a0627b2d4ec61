"""Time the backfill: finding 5 % of 100,000 flows with 80 KB children, catching up, memory, live latency."""

import asyncio
import os
import random
import resource
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain import FlowContext
from masterflow.domain.events import ProgressReported, new_event
from masterflow.domain.tenant import flow_context
from masterflow.repository.backfill.reads import RULES, Scope, behind_search, find_behind
from masterflow.repository.database import DatabaseSettings, make_engine
from masterflow.scripts.bench.backfill_flows import Flows
from masterflow.scripts.celery_commands import worker
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.terminal.entrance import run_program
from masterflow.tasks.backfill.catch_up import SLICE, BackfillOptions, BackfillSummary, catch_up
from masterflow.tasks.delivery.loop import spare_collector
from masterflow.tasks.enqueue import (
    Awaited,
    Batch,
    BrokerUnavailable,
    ConfirmationInbox,
    Publisher,
    QueueSettings,
)

_console = Console()
_CONTEXT: FlowContext = flow_context(uuid4(), uuid4(), "bench")

# Ten outboxes that report 20 events a second each, and send every quarter of a second what they have.
_MESSAGES_PER_S = 40
_EVENTS_PER_MESSAGE = 5


async def find(flows: Flows) -> list[UUID]:
    """Return what is behind, and print how long it took to find and by what plan."""
    found: list[UUID] = []
    place, scanned, started = None, 0, time.perf_counter()
    async with flows.sessions() as session:
        while True:
            page = await find_behind(session, Scope(), after=place)
            found, scanned = found + page.behind, scanned + page.scanned
            if (place := page.end) is None:
                break
    seconds = time.perf_counter() - started
    _console.print(f"found {len(found):,} behind among {scanned:,} masters in {seconds:.2f} s")
    return found


async def show_plan(flows: Flows) -> None:
    """Print the plan of a page: index scans, and no page of a TOAST table."""
    arguments = {"before": "infinity", "before_id": UUID(int=2**128 - 1), "page_size": 5_000, "rules": RULES}
    async with flows.sessions() as session:
        search = (await behind_search(session)).text
        explain = text(f"explain (analyze, buffers, costs off, timing off) {search}")
        rows = await session.execute(explain, Scope().arguments() | arguments)
        for line in rows.scalars():
            if any(word in line for word in ("Scan", "Limit", "Execution", "Join", "Loop")):
                _console.print(f"  {line}", highlight=False)


async def catch_up_all(flows: Flows, flow_ids: list[UUID], *, of: str) -> None:
    """Catch these up on one connection, and print flows per second of work, the server's included."""
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_s = await flows.read_documents(flow_ids)
    server_before, started, own = await flows.server_cpu_s(), time.perf_counter(), time.process_time()
    summary = BackfillSummary()
    spare_collector()
    for start in range(0, len(flow_ids), SLICE):
        summary += await catch_up(flows.sessions, flow_ids[start : start + SLICE], Scope(), BackfillOptions())
    elapsed_s, own_s = time.perf_counter() - started, time.process_time() - own
    server_s = await flows.server_cpu_s() - server_before
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before) / 1024
    count = len(flow_ids)
    _console.print(
        f"{of}: {summary.changed:,} of {count:,} changed in {elapsed_s:.1f} s, {count / elapsed_s:,.0f}/s;"
        f" {count / (own_s + server_s):,.0f} flows per second of one core"
        f" (Python {own_s / count * 1e6:.0f} us, Postgres {server_s / count * 1e6:.0f} us a flow);"
        f" only to decompress the documents takes Postgres {read_s / count * 1e6:.0f} us;"
        f" memory +{grown_mb:.0f} MB"
    )


class LiveLoad:
    """Sends 200 events a second as ten orchestrators would, and hears when each message is committed."""

    def __init__(self, settings: QueueSettings, flow_ids: list[UUID]) -> None:
        self._flow_ids = flow_ids
        self._sender_id = str(uuid4())
        self._publisher = Publisher(settings)
        self._inbox = ConfirmationInbox(settings, self._sender_id)
        self._sent: dict[str, float] = {}
        self._waiting: dict[str, Batch] = {}
        self._latencies: list[float] = []
        self._is_sending = True

    def run(self, seconds: float) -> list[float]:
        """Return the latencies in seconds, sorted."""
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        begin = time.perf_counter()
        for number in range(int(seconds * _MESSAGES_PER_S)):
            time.sleep(max(0.0, begin + number / _MESSAGES_PER_S - time.perf_counter()))
            self._send()
        self._is_sending = False
        listener.join(60)
        return sorted(self._latencies)

    def _send(self) -> None:
        flow_ids = random.choices(self._flow_ids, k=_EVENTS_PER_MESSAGE)  # noqa: S311  no secret
        events = [
            new_event(ProgressReported, _CONTEXT, flow_id, snapshot={"progress": 1}).model_dump_json()
            for flow_id in flow_ids
        ]
        batch = Batch(
            batch_id=str(uuid4()),
            sender_id=self._sender_id,
            client_account_id=str(_CONTEXT.client_account_id),
            events=f"[{','.join(events)}]",
        )
        self._sent[batch.batch_id] = time.perf_counter()
        self._waiting[batch.batch_id] = batch
        try:
            self._publisher.publish(batch)
        except BrokerUnavailable:
            del self._sent[batch.batch_id], self._waiting[batch.batch_id]

    def _listen(self) -> None:
        while self._is_sending or len(self._latencies) < len(self._sent):
            with suppress(BrokerUnavailable):
                confirmed = self._inbox.receive([Awaited.of(batch) for batch in list(self._waiting.values())])
                for batch_id in confirmed.get(self._sender_id, ()):
                    self._latencies.append(time.perf_counter() - self._sent[batch_id])
                    del self._waiting[batch_id]
            time.sleep(0.001)


def show_latency(latencies: list[float], *, of: str) -> None:
    """Print the median and the tail."""
    tail = latencies[int(len(latencies) * 0.99)]
    middle = statistics.median(latencies)
    _console.print(f"live latency {of}: p50 {middle * 1000:.1f} ms, p99 {tail * 1000:.1f} ms")


async def compare_latency(flows: Flows, stack: ExitStack, folder: Path) -> None:
    """Print how long live events take, first alone and then while workers catch up every flow."""
    redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
    os.environ.update(DATABASE_URL=flows.url, REDIS_URL=redis.url)
    # Celery reads its settings on import, and the servers are known only now.
    from masterflow.tasks.backfill.task import Chunk, chunks_of  # noqa: PLC0415

    command = worker("--concurrency=2", "--loglevel=WARNING", "--prefetch-multiplier=1")
    stack.enter_context(
        SupervisedProcess(command, env=dict(os.environ), folder=Path.cwd(), log=folder / "worker.log")
    )
    live = await flows.live_flows(100)
    settings = QueueSettings()
    await asyncio.to_thread(LiveLoad(settings, live).run, 3)
    show_latency(await asyncio.to_thread(LiveLoad(settings, live).run, 10), of="alone")
    flow_ids = await flows.change(1.0)
    for part in chunks_of(flow_ids):
        Chunk(flow_ids=part).send()
    latencies = await asyncio.to_thread(LiveLoad(settings, live).run, 10)
    left = len(await find(flows))
    show_latency(latencies, of=f"while {len(flow_ids) - left:,} flows were caught up")


async def measure(engine: AsyncEngine, url: str, *, flows: int, folder: Path, with_live: bool) -> None:
    """Measure everything."""
    with ExitStack() as stack:
        large = Flows(engine, url, _CONTEXT)
        await large.create(flows, document_bytes=80_000)
        changed = await large.change(0.05)
        await show_plan(large)
        found = await find(large)
        assert set(found) == set(changed), "the changed ones, and no others"  # noqa: S101  a bench that proves
        await catch_up_all(large, found, of="80 KB documents")
        await find(large)
        if with_live:
            await compare_latency(large, stack, folder)
        await large.empty()
        await large.create(max(1_000, flows // 10), document_bytes=1_000)
        small = await large.change(1.0)
        await catch_up_all(large, small, of="1 KB documents")


def main(
    flows: Annotated[int, typer.Argument(help="How many flows.")] = 100_000,
    *,
    live: Annotated[bool, typer.Option(help="Measure the latency of live events, too.")] = True,
) -> None:
    """Measure the backfill on a Postgres and a Redis of its own."""
    with (
        tempfile.TemporaryDirectory() as name,
        EmbeddedPostgres(Path(name) / "postgres", durable=False) as server,
    ):
        values = {"DATABASE_URL": server.url, "ENRICHMENT_STATEMENT_TIMEOUT_S": "600"}
        engine = make_engine(DatabaseSettings.model_validate(values), pool_size=1)
        asyncio.run(measure(engine, server.url, flows=flows, folder=Path(name), with_live=live))


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
