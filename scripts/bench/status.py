"""Time the status API with a million flows in the table, a worker beside it, and a thousand open streams."""

import asyncio
import gc
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import psycopg
import typer
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain import FlowContext
from masterflow.domain.events import AgentCollaborated, new_event
from masterflow.domain.redis_keys import COUNTERS_KEY
from masterflow.repository.database import DatabaseSettings, make_engine
from masterflow.repository.sql import statement
from masterflow.repository.tables import create_tables
from masterflow.scripts.bench.fleet_load import measure_fleet
from masterflow.scripts.bench.http_load import Connections, percentile, streams
from masterflow.scripts.bench.loads.list_load import PARTS, list_arguments, measure_lists
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.terminal.entrance import run_program
from masterflow.status.access.tokens import issue_token
from masterflow.status.settings import StatusSettings
from masterflow.tasks.enqueue import Batch, Publisher, QueueSettings, redis_client

_ROOT: Final = Path(__file__).resolve().parents[2]
_KEY: Final = "only for measuring on this machine"
_ENGAGEMENT: Final = UUID(int=7)
_WARM_UP_S: Final = 10
_TOUCH: Final = (
    "update migration.crewai_flow_state_extensions set updated_at = clock_timestamp() where flow_id = :flow"
)

# Accounts with 30 %, 1 % and 0.01 % of all flows (see fill_flows.sql).
_BIG, _MIDDLE, _SMALL = UUID(int=1), UUID(int=2), UUID(int=3)

_FILL: Final = Path(__file__).with_name("fill_flows.sql").read_text(encoding="utf-8")


def main(
    *,
    flows: Annotated[int, typer.Option(help="Rows in the table.")] = 1_000_000,
    rate: Annotated[int, typer.Option(help="Requests per second.")] = 200,
    seconds: Annotated[int, typer.Option(help="How long each load lasts.")] = 20,
    clients: Annotated[int, typer.Option(help="Open event streams.")] = 1_000,
    fleet: Annotated[bool, typer.Option("--fleet", help="Only the overview of the fleet.")] = False,
    lists: Annotated[bool, typer.Option("--lists", help="Only the list, by each filter and order.")] = False,
) -> None:
    """Print figures and query plans."""
    with tempfile.TemporaryDirectory(prefix="bench-status-") as folder, _servers(Path(folder)) as environment:
        asyncio.run(_fill(environment["DATABASE_URL"], flows))
        port = free_port()
        if fleet:
            with _process(["status", "--port", str(port)], environment) as site:
                _wait_until_it_answers(port)
                asyncio.run(measure_fleet(port, environment["DATABASE_URL"], _token(_BIG), seconds=seconds))
                print(f"  the API holds {_resident_mb(site.pid):.0f} MB")
            return
        if lists:
            tokens = {"30 % of all": _token(_BIG), "1 %": _token(_MIDDLE), "0.01 %": _token(_SMALL)}
            with _process(["status", "--port", str(port)], environment):
                _wait_until_it_answers(port)
                asyncio.run(measure_lists(port, tokens, seconds=seconds))
            return
        asyncio.run(_show_plans(environment["DATABASE_URL"], flows))
        with _process(["status", "--port", str(port)], environment) as site, _process(_WORKER, environment):
            measure = _measure(
                environment, port, flows, rate=rate, seconds=seconds, clients=clients, site=site
            )
            asyncio.run(measure)


_WORKER: Final = [
    "celery",
    "--app",
    "masterflow.tasks.app",
    "worker",
    "--concurrency",
    "1",
    "--loglevel",
    "ERROR",
]


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, str]]:
    with (
        EmbeddedPostgres(folder / "postgres", durable=False) as postgres,
        EmbeddedRedis(folder / "redis") as redis,
    ):
        yield {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "ENRICHMENT_JWT_KEY": _KEY,
            "ENRICHMENT_STATUS_RATE_PER_S": "10000",
            "ENRICHMENT_STATUS_MOST_STREAMS_PER_ACCOUNT": "2000",
        }


def _process(arguments: Sequence[str], environment: dict[str, str]) -> SupervisedProcess:
    return SupervisedProcess([sys.executable, "-m", *arguments], env=environment, folder=_ROOT)


async def _fill(url: str, flows: int) -> None:
    engine = make_engine(
        DatabaseSettings.model_validate({"DATABASE_URL": url, "ENRICHMENT_STATEMENT_TIMEOUT_S": 600})
    )
    await create_tables(engine)
    started = time.monotonic()
    for first in range(0, flows, 100_000):
        async with engine.begin() as connection:
            last = min(first + 100_000, flows) - 1
            values = {"engagement": _ENGAGEMENT, "flows": flows, "first": first, "last": last}
            await connection.execute(text(_FILL), values)
    await engine.dispose()
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("vacuum analyze migration.crewai_flow_state_extensions")
        # Else the gigabyte is still being written while requests are timed.
        connection.execute("checkpoint")
        size = connection.execute(
            "select pg_size_pretty(pg_total_relation_size('migration.crewai_flow_state_extensions'))"
        ).fetchone()
    print(f"{flows:,} flows in {time.monotonic() - started:.0f} s, {size[0] if size else '?'}")


async def _show_plans(url: str, flows: int) -> None:
    engine = make_engine(DatabaseSettings.model_validate({"DATABASE_URL": url}))
    accounts = [("30 %", _BIG), ("1 %", _MIDDLE), ("0.01 %", _SMALL), ("0 %", UUID(int=999_999))]
    for name, account in accounts:
        await _explain(
            engine, f"list_flows, {name} of all", "list_flows", list_arguments(account, _ENGAGEMENT), **PARTS
        )
    searched = list_arguments(_BIG, _ENGAGEMENT, text="number 99", scanned=2_000)
    await _explain(engine, "list_flows, searched", "list_flows", searched, **PARTS)
    one = {"flow_id": UUID(int=0), "client_account_id": _BIG, "engagement_ids": [_ENGAGEMENT]}
    await _explain(engine, "read_status, full lists", "read_status", one)
    watch = {
        "client_account_ids": [_BIG],
        "flow_ids": [UUID(int=number) for number in range(0, flows, flows // 100)],
    }
    async with engine.connect() as connection:
        now = await connection.scalar(text("select clock_timestamp() - interval '30 seconds'"))
    await _explain(engine, "find_changes", "find_changes", {**watch, "since": now})
    await engine.dispose()


async def _explain(
    engine: AsyncEngine, title: str, name: str, arguments: dict[str, Any], **parts: str
) -> None:
    query = text(f"explain (analyze, costs off, timing off, buffers off) {statement(name, **parts).text}")
    async with engine.connect() as connection:
        await connection.execute(query, arguments)
        lines = [row[0] for row in await connection.execute(query, arguments)]
    marks = ("Scan", "Sort", "Limit", "Bitmap", "Execution Time", "Rows Removed")
    print(f"\n-- {title}")
    print("\n".join(line for line in lines if any(mark in line for mark in marks)))


async def _measure(
    environment: dict[str, str],
    port: int,
    flows: int,
    *,
    rate: int,
    seconds: int,
    clients: int,
    site: SupervisedProcess,
) -> None:
    worker = asyncio.create_task(_feed_worker(environment, flows))
    await asyncio.to_thread(_wait_until_it_merges, environment)
    lists = [("/api/v1/flows", _token(UUID(int=account))) for account in (1, 1, 1, 2, 3, *range(4, 60))]
    # Those with full lists.
    step = flows // 1000
    statuses = [
        (f"/api/v1/flows/{UUID(int=number)}/status", _token(_BIG)) for number in range(0, flows, step)
    ]
    # A full collection of what this client has loaded would count as a slow answer.
    gc.collect()
    gc.freeze()
    async with Connections(port) as connections:
        # Postgres has just been filled by others, and knows nothing by heart yet.
        await connections.load(lists, rate=rate, seconds=_WARM_UP_S)
        print(f"\nBeside a worker that merges 200 events/s, at {rate} requests/s for {seconds} s:")
        for name, requests, limit_ms in [("list", lists, 50), ("status of full lists", statuses, 15)]:
            cpu_s, connections.refused = _cpu_s(site.pid), 0
            times = await connections.load(requests, rate=rate, seconds=seconds)
            cpu_ms = (_cpu_s(site.pid) - cpu_s) * 1000 / len(times)
            figures = ", ".join(f"p{share} {percentile(times, share):.1f} ms" for share in (50, 95, 99))
            print(f"  {name}: {len(times)} requests, {connections.refused} refused, {figures}", end=" ")
            print(f"(p99 wanted: {limit_ms} ms), {cpu_ms:.1f} ms of CPU each in the API")
    delays = await streams(port, _token(_BIG), clients=clients, change=_changer(environment["DATABASE_URL"]))
    figures = ", ".join(f"p{share} {percentile(delays, share):.0f} ms" for share in (50, 99, 100))
    print(f"  load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"  {clients} event streams: {len(delays)} deliveries, from commit to client {figures}")
    worker.cancel()


def _token(account: UUID) -> str:
    settings = StatusSettings.model_validate({"ENRICHMENT_JWT_KEY": _KEY})
    return issue_token(settings, account, engagement_ids=[_ENGAGEMENT], user_id="bench")


def _wait_until_it_answers(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _changer(url: str) -> Any:
    engine = make_engine(DatabaseSettings.model_validate({"DATABASE_URL": url}))

    async def change(number: int) -> str:
        flow_id = UUID(int=number * 600)
        async with engine.begin() as connection:
            await connection.execute(text(_TOUCH), {"flow": flow_id})
        return str(flow_id)

    return change


def _wait_until_it_merges(environment: dict[str, str]) -> None:
    with redis_client(QueueSettings.model_validate({"REDIS_URL": environment["REDIS_URL"]})) as redis:
        while not redis.exists(COUNTERS_KEY):
            time.sleep(0.1)


async def _feed_worker(environment: dict[str, str], flows: int) -> None:
    publisher = Publisher(QueueSettings.model_validate({"REDIS_URL": environment["REDIS_URL"]}))
    context = FlowContext(client_account_id=_BIG, engagement_id=_ENGAGEMENT, user_id="bench")
    number = 0
    while True:
        events = []
        for _ in range(100):
            number += 10
            flow_id = UUID(int=number % flows)
            events.append(
                new_event(AgentCollaborated, context, flow_id, entry={"agent": "a", "text": "x" * 200})
            )
        batch = Batch(
            batch_id=str(events[0].event_id),
            sender_id="",
            client_account_id=str(_BIG),
            events=f"[{','.join(event.model_dump_json() for event in events)}]",
        )
        await asyncio.to_thread(publisher.publish, batch)
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
