"""Measure the lag from hook to commit at several rates, and what the hooks cost their process meanwhile.

Run it as `.venv/bin/python -m masterflow.scripts.bench.lag`. Each report is followed by a log line, so that
both see the same machine. A process of its own listens to what Redis is told: an event has been committed,
at the latest, when its worker confirms the batch that it is in. DATABASE_URL and REDIS_URL name other
servers.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final
from uuid import UUID, uuid4

import typer
from rich.console import Console
from rich.table import Table

from masterflow import tracker
from masterflow.domain import InputInvalid
from masterflow.domain.events import ProgressReported
from masterflow.domain.tenant import flow_context
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.database import DatabaseSettings, make_engine, session_factory
from masterflow.repository.tables import create_tables
from masterflow.scripts import celery_commands
from masterflow.scripts.bench.hooks import HOOKS, Durations, log_line
from masterflow.scripts.bench.tap import Batches
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.terminal.entrance import run_program

_ROOT: Final = Path(__file__).resolve().parents[2]
_CONTEXT: Final = flow_context(uuid4(), uuid4(), "bench")
_WARM_UP_S: Final = 1.0
_LAST_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Lag:
    """What was measured at one rate."""

    events_per_s: int
    #: From the report of each event to the confirmation of its commit, in seconds, sorted.
    lags_s: list[float]
    #: From the report of each event until it was sent.
    waits_s: list[float]
    messages: int
    hooks: Durations
    log_lines: Durations

    def row(self) -> list[str]:
        """Return a line of the table."""
        lags = [f"{_quantile(self.lags_s, part) * 1_000:,.0f}" for part in (0.5, 0.9, 0.99)]
        hooks = [f"{self.hooks.us(part):,.0f} ({self.log_lines.us(part):,.0f})" for part in (0.5, 0.99)]
        worst = [f"{durations.us(1) / 1_000:,.1f}" for durations in (self.hooks, self.log_lines)]
        return [
            f"{self.events_per_s:,}",
            *lags,
            f"{_quantile(self.waits_s, 0.5) * 1_000:,.0f}",
            f"{len(self.lags_s) / max(1, self.messages):.1f}",
            *hooks,
            f"{worst[0]} ({worst[1]})",
        ]


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


@dataclass(frozen=True, slots=True)
class Chain:
    """Everything from the hook to the row: servers, a worker, and whoever listens."""

    folder: Path
    redis_url: str
    flow_ids: list[UUID]

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *, flows: int = 100) -> Iterator["Chain"]:
        """Start it in a folder; the tracker of this process reports into it."""
        with ExitStack() as stack:
            redis_url = (
                os.environ.get("REDIS_URL") or stack.enter_context(EmbeddedRedis(folder / "redis")).url
            )
            database_url = os.environ.get("DATABASE_URL")
            if not database_url:
                database_url = stack.enter_context(EmbeddedPostgres(folder / "postgres")).url
            os.environ |= {
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "ENRICHMENT_SPOOL_DIR": str(folder / "spool"),
            }
            flow_ids = asyncio.run(_new_flows(database_url, flows))
            command = celery_commands.worker("--loglevel=WARNING", "--concurrency=2")
            worker = SupervisedProcess(command, folder=_ROOT, log=folder / "worker.log")
            stack.enter_context(worker)
            stack.callback(tracker.shutdown, 10)
            yield cls(folder, redis_url, flow_ids)

    def measure(self, events_per_s: int, seconds: float) -> Lag:
        """Report so many events at an even pace, and wait until all are committed.

        Raises:
            InputInvalid: they are not.
        """
        self._report(events_per_s, _WARM_UP_S)
        tracker.flush(_LAST_S)
        with self._tapped() as file:
            hooks, log_lines = self._report(events_per_s, seconds)
            # `flush` would hasten the last of them.
            deadline = time.monotonic() + _LAST_S
            while tracker.outbox_status()["confirmed"] < tracker.outbox_status()["reported"]:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
        batches = Batches.read(file, _CONTEXT.client_account_id)
        # Of a flow's snapshots in one message only the newest travels.
        snapshots = sum(HOOKS[number % len(HOOKS)][0] is ProgressReported for number in range(len(hooks)))
        if not len(hooks) - snapshots <= (found := len(batches.lags_s)) <= len(hooks):
            raise InputInvalid(f"{found} of {len(hooks)} events were seen to be committed.")
        return Lag(
            events_per_s,
            sorted(batches.lags_s),
            sorted(batches.waits_s),
            len(batches.sent_at),
            Durations("hook", hooks),
            Durations("log line", log_lines),
        )

    def _report(self, events_per_s: int, seconds: float) -> tuple[list[int], list[int]]:
        log, flow_ids = log_line(self.folder), self.flow_ids
        hooks, log_lines = [], []
        began = time.perf_counter()
        for number in range(int(events_per_s * seconds)):
            kind, fields = HOOKS[number % len(HOOKS)]
            time.sleep(max(0.0, began + number / events_per_s - time.perf_counter()))
            before = time.perf_counter_ns()
            tracker.report(kind, _CONTEXT, flow_ids[number % len(flow_ids)], **fields)
            between = time.perf_counter_ns()
            log(number)
            log_lines.append(time.perf_counter_ns() - between)
            hooks.append(between - before)
        return hooks, log_lines

    @contextmanager
    def _tapped(self) -> Iterator[Path]:
        file = self.folder / f"tap-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "masterflow.scripts.bench.tap", self.redis_url, str(file)]
        with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101  it is a pipe
            process.stdout.readline()
            try:
                yield file
            finally:
                process.terminate()


async def _new_flows(database_url: str, count: int) -> list[UUID]:
    engine = make_engine(DatabaseSettings.model_validate({"DATABASE_URL": database_url}))
    await create_tables(engine)
    flow_ids = [uuid4() for _ in range(count)]
    tenant = (_CONTEXT.client_account_id, _CONTEXT.engagement_id, _CONTEXT.user_id)
    async with session_factory(engine)() as db:
        repository = CrewAIFlowStateExtensionsRepository(db, *tenant)
        for flow_id in flow_ids:
            await repository.create_master_flow(flow_id, "discovery")
        await db.commit()
    await engine.dispose()
    return flow_ids


def table(found: Sequence[Lag]) -> Table:
    """Return what was measured; in brackets, the same of log lines."""
    head = ["events/s", "lag p50 ms", "p90", "p99", "until sent p50", "events a message"]
    shown = Table(*head, "hook p50 us", "p99 us", "worst ms")
    for lag in found:
        shown.add_row(*lag.row())
    return shown


def main(
    rates: Annotated[list[int] | None, typer.Argument(help="Events per second.")] = None,
    *,
    seconds: Annotated[float, typer.Option(help="How long at each rate.")] = 10,
) -> None:
    """Measure each rate on servers of its own."""
    with TemporaryDirectory() as folder, Chain.running(Path(folder)) as chain:
        Console().print(table([chain.measure(rate, seconds) for rate in rates or (50, 500, 2_000)]))


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
