"""Time hooks and phases beside a log line, an `apply_async` and an awaited write to Postgres, in one run.

Run it as `.venv/bin/python -m masterflow.scripts.bench.hooks`; `--events 1000000` also shows the memory
they cost. The sender is busy all the while: a second process confirms what it sends.
DATABASE_URL and REDIS_URL name other servers.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import uuid4

import typer
from celery import Celery
from rich.console import Console
from rich.table import Table

from masterflow import tracker
from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    Event,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from masterflow.domain.tenant import flow_context
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.database import DatabaseSettings, make_engine, session_factory
from masterflow.repository.tables import create_tables
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.terminal.entrance import run_program

_ROOT = Path(__file__).resolve().parents[2]
_CONTEXT = flow_context(uuid4(), uuid4(), "bench")
_FLOW_ID = uuid4()
_WARM_UP = 200

#: Hooks in the proportions of a flow.
HOOKS: list[tuple[type[Event], dict[str, Any]]] = [
    (PhaseTransitioned, {"phase": "data_import", "status": "processing", "metadata": {"rows": 500}}),
    (StatusChanged, {"status": "processing"}),
    (ProgressReported, {"snapshot": {"phase": "data_import", "progress": 10, "message": "reading"}}),
    (AgentCollaborated, {"entry": {"agent": "Schema Expert", "action": "mapped columns", "mapped": 12}}),
    (AgentCollaborated, {"entry": {"agent": "Data Analyst", "action": "checked rows", "bad": 3}}),
    (ErrorOccurred, {"phase": "data_import", "error": "row 17: no such host", "details": {"row": 17}}),
    (PhaseTimed, {"phase": "data_import", "execution_time_ms": 1250.5}),
    (PhaseTransitioned, {"phase": "data_import", "status": "completed", "metadata": {"rows": 497}}),
]


class Durations(NamedTuple):
    """How long each call of one kind took."""

    name: str
    nanoseconds: list[int]

    def us(self, quantile: float) -> float:
        """Return a quantile in microseconds."""
        ordered = sorted(self.nanoseconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * quantile))] / 1_000


def hook(number: int) -> None:
    """Report one event."""
    kind, fields = HOOKS[number % len(HOOKS)]
    tracker.report(kind, _CONTEXT, _FLOW_ID, **fields)


_TRACKER = tracker.create_progress_tracker(_FLOW_ID, _CONTEXT)


def empty_phase(_: int) -> None:
    """Enter and leave a phase."""
    with tracker.phase("data_import", flow=_TRACKER):
        pass


def in_turns(calls: dict[str, Callable[[int], object]], rounds: int = 40) -> list["Durations"]:
    """Time each of several calls in a tight loop, in turns, so that all see the same machine."""
    found: dict[str, list[int]] = {name: [] for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            durations = [_duration(call, number) for _ in range(200)]
            found[name] += durations if number else []
    return [Durations(name, durations) for name, durations in found.items()]


def _duration(call: Callable[[int], object], number: int) -> int:
    began = time.perf_counter_ns()
    call(number)
    return time.perf_counter_ns() - began


def bytes_of_a_phase() -> float:
    """Return how many bytes an empty phase takes on disk."""
    before: int = tracker.outbox_status()["pending_bytes"]
    for _ in range(10):
        empty_phase(0)
    after: int = tracker.outbox_status()["pending_bytes"]
    return (after - before) / 10


def timed(call: Callable[[int], object], count: int, *, pause_s: float = 0.0) -> list[int]:
    """Call so often, with 100 microseconds of other work in between or a pause, and return each duration."""
    nanoseconds = []
    for number in range(count):
        began = time.perf_counter_ns()
        call(number)
        nanoseconds.append(time.perf_counter_ns() - began)
        if pause_s:
            time.sleep(pause_s)
        else:
            _work(100)
    return nanoseconds[_WARM_UP:]


def _work(microseconds: int) -> None:
    end = time.perf_counter_ns() + microseconds * 1_000
    while time.perf_counter_ns() < end:
        pass


def in_threads(call: Callable[[int], object], count: int) -> list[int]:
    """Time calls of four threads, each of which waits a millisecond between two, as for a model."""
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.extend(timed(call, count, pause_s=0.001))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


async def in_a_loop(count: int, call: Callable[[int], object]) -> tuple[list[int], float]:
    """Time calls within an event loop; also return the loop's longest stall in milliseconds."""
    nanoseconds, stalls = [], [0.0]

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            stalls.append(time.perf_counter() - began)

    watcher = asyncio.create_task(watch())
    for number in range(count):
        await asyncio.sleep(0.0005)
        began = time.perf_counter_ns()
        call(number)
        nanoseconds.append(time.perf_counter_ns() - began)
    watcher.cancel()
    return nanoseconds[_WARM_UP:], max(stalls) * 1_000


def log_line(folder: Path) -> Callable[[int], None]:
    """Return what writes one line to a log file, of about what a hook reports."""
    logger = logging.getLogger("bench")
    logger.propagate = False
    handler = logging.FileHandler(folder / "log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return lambda number: logger.info(
        "flow %s: phase %s is %s (%d)", _FLOW_ID, "data_import", "processing", number
    )


def apply_async(redis_url: str) -> Callable[[int], object]:
    """Return what sends one event as a task of its own."""
    app = Celery("bench", broker=redis_url, set_as_current=False)
    app.conf.task_ignore_result = True

    @app.task(name="bench.apply")
    def apply(**fields: Any) -> None:
        """Stand for a task; nobody runs it."""

    return lambda _: apply.apply_async(kwargs=HOOKS[0][1], queue="bench")


async def database_writes(database_url: str, count: int) -> list[int]:
    """Time awaited transactions that add a transition to the master row."""
    engine = make_engine(DatabaseSettings.model_validate({"DATABASE_URL": database_url}))
    await create_tables(engine)
    nanoseconds = []
    tenant = (_CONTEXT.client_account_id, _CONTEXT.engagement_id, _CONTEXT.user_id)
    async with session_factory(engine)() as db:
        repository = CrewAIFlowStateExtensionsRepository(db, *tenant)
        await repository.create_master_flow(_FLOW_ID, "discovery")
        await db.commit()
        for _ in range(count + _WARM_UP):
            began = time.perf_counter_ns()
            await repository.add_phase_transition(_FLOW_ID, "data_import", "processing", {"rows": 500})
            await db.commit()
            nanoseconds.append(time.perf_counter_ns() - began)
    await engine.dispose()
    return nanoseconds[_WARM_UP:]


def compare(redis_url: str, database_url: str, folder: Path, *, count: int) -> tuple[Table, str]:
    """Time everything once, and tell how long the event loop stalled."""
    tracker.report(*HOOKS[0][:1], _CONTEXT, _FLOW_ID, **HOOKS[0][1])
    tracker.flush(10)
    log = log_line(folder)
    loops = in_turns(
        {
            "log line, tight loop": log,
            "report, tight loop": hook,
            "empty phase, tight loop": empty_phase,
        }
    )
    phase_bytes = bytes_of_a_phase()
    hooks, stall_ms = asyncio.run(in_a_loop(count, hook))
    _, other_stall_ms = asyncio.run(in_a_loop(count, log))
    runs = [
        Durations("log line", timed(log, count)),
        Durations("hook, one thread", timed(hook, count)),
        Durations("empty phase, one thread", timed(empty_phase, count)),
        Durations("hook, event loop", hooks),
        Durations("log line, 4 threads that pause", in_threads(log, count // 4)),
        Durations("hook, 4 threads that pause", in_threads(hook, count // 4)),
        Durations("apply_async to Redis", timed(apply_async(redis_url), count // 10)),
        Durations("awaited write to Postgres", asyncio.run(database_writes(database_url, count // 10))),
    ]
    told = (
        f"The event loop stalled {stall_ms:.1f} ms at most; with log lines {other_stall_ms:.1f} ms.\n"
        f"An empty phase takes {phase_bytes:.0f} bytes on disk."
    )
    return _table(loops, runs), told


def _table(*groups: list[Durations]) -> Table:
    """Return a table of runs, each compared with the first of its group."""
    table = Table("microseconds", "p50", "p99", "p99.9", "p50 to a log line's")
    for runs in groups:
        for run in runs:
            quantiles = [f"{run.us(quantile):,.1f}" for quantile in (0.5, 0.99, 0.999)]
            table.add_row(run.name, *quantiles, f"{run.us(0.5) / runs[0].us(0.5):.2f}")
        table.add_section()
    return table


def memory(events: int) -> Table:
    """Report so many events at full speed, and note the memory at every tenth of them."""
    table = Table("events", "resident MB", "waiting MB")
    for tenth in range(10):
        for number in range(events // 10):
            hook(number)
        resident_mb = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        waiting_mb = tracker.outbox_status()["pending_bytes"] / 1e6
        table.add_row(f"{(tenth + 1) * events // 10:,}", f"{resident_mb:.1f}", f"{waiting_mb:.1f}")
    return table


@contextmanager
def servers(folder: Path) -> Iterator[tuple[str, str]]:
    """Give the URLs of a Redis, from which a process confirms, and of a Postgres."""
    with ExitStack() as stack:
        redis_url = os.environ.get("REDIS_URL") or stack.enter_context(EmbeddedRedis(folder / "redis")).url
        database_url = os.environ.get("DATABASE_URL")
        if not database_url:
            database_url = stack.enter_context(EmbeddedPostgres(folder / "postgres")).url
        confirmer = [sys.executable, "-m", "masterflow.scripts.bench.confirmer", redis_url]
        stack.enter_context(SupervisedProcess(confirmer, folder=_ROOT))
        os.environ |= {"REDIS_URL": redis_url, "ENRICHMENT_SPOOL_DIR": str(folder / "spool")}
        stack.callback(tracker.shutdown, 10)
        yield redis_url, database_url


def main(count: int = 20_000, events: int = 0) -> None:
    """Compare hooks with other ways to report; with `--events`, watch the memory instead."""
    console = Console()
    with TemporaryDirectory() as folder, servers(Path(folder)) as (redis_url, database_url):
        if events:
            console.print(memory(events))
        else:
            console.print(*compare(redis_url, database_url, Path(folder), count=count))
        console.print(tracker.outbox_status())


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
