"""Time phases from the hooks to the rows, end to end, and compare states of the code in one run.

Run it as `.venv/bin/python -m masterflow.scripts.bench.throughput`. `--against FOLDER` names the checkout of
another state with an environment of its own (`FOLDER/.venv`); both take turns on the same two servers, in
a database each. All lists of the flows are full; each phase tells one thing that an agent did.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import psycopg
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.supervise.supervisor import descendants
from masterflow.scripts.terminal.entrance import run_program

_HERE: Final = Path(__file__).resolve().parents[2]
_PHASES: Final = Path(__file__).with_name("throughput_phases.py")
_TABLE: Final = "migration.crewai_flow_state_extensions"
_WORKER: Final = ("worker", "--loglevel=WARNING", "--without-gossip", "--without-mingle")
_BATCH: Final = 500

# What stands in the row once for each phase that ended.
_COUNT: Final = f"""
select coalesce(sum((timed.value ->> 'attempts')::numeric), 0)
from {_TABLE}, jsonb_each(phase_execution_times) as timed
"""  # noqa: S608  a constant

_FLOW_IDS: Final = f"select flow_id from {_TABLE} order by flow_id"  # noqa: S608  a constant

_SERVER: Final = "select current_setting('server_version'), current_setting('default_toast_compression')"

_COLUMNS: Final = """
select string_agg(quote_ident(attname), ', ') filter (where attname not in ('id', 'flow_id'))
from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped
"""


@dataclass(frozen=True)
class State:
    """A state of the code, in its folder, with a database of its own."""

    name: str
    folder: Path
    env: Mapping[str, str]
    database_url: str
    concurrency: int

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ".venv" / "bin" / "python"

    @contextmanager
    def worker(self, log: Path) -> Iterator[int]:
        """Run one worker, and give its pid."""
        app = "masterflow.tasks.app" if (self.folder / "masterflow").is_dir() else "tasks.app"
        size = f"--concurrency={self.concurrency}"
        command: list[str | Path] = [self.python, "-m", "celery", "--app", app, *_WORKER, size]
        with SupervisedProcess(command, folder=self.folder, env=self.env, log=log) as worker:
            yield worker.pid

    def orchestrate(self, *arguments: str, flow_ids: str = "") -> dict[str, Any]:
        """Run a process that reports, and return what it tells.

        Raises:
            RuntimeError: it failed, or workers did not confirm everything.
        """
        command: list[str | Path] = [self.python, _PHASES, *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            input=flow_ids,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr[-2000:]}")
        told: dict[str, Any] = json.loads(done.stdout)
        if not told["is_confirmed"]:
            raise RuntimeError(f"{self.name}: workers did not confirm everything.")
        return told

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Connect to its database."""
        url = self.database_url.replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


def prepare(state: State, flows: int, log: Path) -> str:
    """Make flows with full lists; return their ids, one a line."""
    with state.worker(log):
        state.orchestrate("fill")
    with state.connection() as db:
        [columns] = db.execute(_COLUMNS, [_TABLE]).fetchone() or [""]
        copies = f"""
        insert into {_TABLE} (id, flow_id, {columns})
        select gen_random_uuid(), gen_random_uuid(), {columns} from {_TABLE}, generate_series(2, %s)
        """  # noqa: S608  of the catalogue
        db.execute(copies.encode(), [flows])
        db.execute(f"vacuum analyze {_TABLE}".encode())
        found = db.execute(_FLOW_IDS.encode())
        return "\n".join(str(flow_id) for (flow_id,) in found)


@dataclass(frozen=True)
class Round:
    """What one round came to; the costs are those of a phase, in milliseconds of a processor and bytes."""

    phases_per_s: float
    postgres_ms: float
    worker_ms: float
    orchestrator_ms: float
    wal_bytes: float


def measure(state: State, flow_ids: str, phases: int, postgres_pid: int, log: Path) -> Round:
    """Run phases to their rows.

    Raises:
        RuntimeError: not each of them is there once in the end.
    """
    warm_up = 4 * _BATCH
    with state.connection() as db:
        db.execute("checkpoint")
        [[before]] = db.execute(_COUNT.encode()).fetchall()
        with state.worker(log) as worker_pid:
            state.orchestrate("run", str(warm_up), flow_ids=flow_ids)
            [[wal]] = db.execute("select pg_current_wal_lsn()::text").fetchall()
            began = _cpu_s(postgres_pid), _cpu_s(worker_pid)
            told = state.orchestrate("run", str(phases), flow_ids=flow_ids)
            ended = _cpu_s(postgres_pid), _cpu_s(worker_pid)
            [[written]] = db.execute("select pg_current_wal_lsn() - %s::pg_lsn", [wal]).fetchall()
        [[after]] = db.execute(_COUNT.encode()).fetchall()
    if after - before != phases + warm_up:
        raise RuntimeError(f"{state.name}: {after - before} phases are in the rows, not {phases + warm_up}.")
    postgres_s, worker_s = (end - begin for begin, end in zip(began, ended, strict=True))
    each_ms = 1000 / phases
    return Round(
        phases / told["took_s"],
        postgres_s * each_ms,
        worker_s * each_ms,
        told["orchestrator_cpu_s"] * each_ms,
        float(written) / phases,
    )


def _cpu_s(pid: int) -> float:
    """Return what a process and all below it have used so far, with those that have ended."""
    ticks = 0
    for number, each in enumerate([pid, *descendants(pid)]):
        with suppress(FileNotFoundError):
            fields = Path(f"/proc/{each}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:13] if number else fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def compare(
    states: Sequence[State], postgres_pid: int, log: Path, *, flows: int, phases: int, rounds: int
) -> Table:
    """Let the states take turns; tell the median of each, and the ratios to the first within a turn."""
    flow_ids = {state.name: prepare(state, flows, log) for state in states}
    found: dict[str, list[Round]] = {state.name: [] for state in states}
    for number in range(rounds):
        for state in states if number % 2 else reversed(states):
            found[state.name].append(measure(state, flow_ids[state.name], phases, postgres_pid, log))
    first = found[states[0].name]
    table = Table("", *found)
    for title, figure, digits in _FIGURES:
        told = (f"{median(map(figure, runs)):,.{digits}f}" for runs in found.values())
        table.add_row(title, *told)
    for title, figure in (
        ("phases/s, to the first", _FIGURES[0][1]),
        ("phases per CPU second, to the first", _pace),
    ):
        ratios = [
            [figure(run) / figure(other) for run, other in zip(runs, first, strict=True)]
            for runs in found.values()
        ]
        table.add_row(title, *(f"{median(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in ratios))
    return table


def _pace(run: Round) -> float:
    return 1000 / (run.postgres_ms + run.worker_ms + run.orchestrator_ms)


_FIGURES: Final[Sequence[tuple[str, Callable[[Round], float], int]]] = (
    ("phases/s", lambda run: run.phases_per_s, 0),
    ("Postgres, CPU ms a phase", lambda run: run.postgres_ms, 2),
    ("worker, CPU ms a phase", lambda run: run.worker_ms, 2),
    ("orchestrator, CPU ms a phase", lambda run: run.orchestrator_ms, 2),
    ("WAL, bytes a phase", lambda run: run.wal_bytes, 0),
)


def main(
    against: Annotated[
        list[Path] | None, typer.Option(help="checkouts of other states, with a .venv")
    ] = None,
    flows: Annotated[int, typer.Option(help="flows that run at once, all with full lists")] = 1_000,
    phases: Annotated[int, typer.Option(help="phases of a round")] = 12_000,
    rounds: Annotated[int, typer.Option(help="rounds of each state")] = 3,
    concurrency: Annotated[int, typer.Option(help="children of the worker")] = 2,
) -> None:
    """Time phases end to end; with `--against`, beside other states of the code."""
    console = Console()
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        states = [
            _state(root.resolve(), number, folder, (postgres.url, redis.url), concurrency)
            for number, root in enumerate([*(against or ()), _HERE])
        ]
        with states[0].connection() as db:
            [[version, compression]] = db.execute(_SERVER).fetchall()
        console.print(
            f"PostgreSQL {version} with {compression}, Redis, one worker with {concurrency} children;"
            f" {flows:,} flows with full lists, {phases:,} phases a round"
        )
        log = folder / "worker.log"
        console.print(compare(states, postgres.pid, log, flows=flows, phases=phases, rounds=rounds))


def _state(root: Path, number: int, folder: Path, servers: tuple[str, str], concurrency: int) -> State:
    database_url, redis_url = servers
    name = f"state{number}"
    with psycopg.connect(database_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as db:
        db.execute(f"create database {name}".encode())
    database_url = make_url(database_url).set(database=name).render_as_string(hide_password=False)
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": make_url(redis_url).set(database=str(number)).render_as_string(hide_password=False),
        "ENRICHMENT_SPOOL_DIR": str(folder / f"spool{number}"),
        "PYTHONPATH": str(root),
    }
    return State(root.name, root, environment, database_url, concurrency)


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
