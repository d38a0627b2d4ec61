"""Runs one contestant over one load: a database of its own, its processes, its workers, and the check."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from masterflow.domain import EnrichmentError
from masterflow.scripts import celery_commands
from masterflow.scripts.bench.comparison.servers import Place
from masterflow.scripts.bench.peers.workload import Spec, peak_mb
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.supervise.supervisor import descendants

ROOT: Final = Path(__file__).resolve().parents[3]
#: What has the peers' packages.
PEERS_PYTHON: Final = ROOT / ".local" / "bench" / "bin" / "python"

_READY_WITHIN_S: Final = 120.0
_PEERS: Final = "masterflow.scripts.bench.peers"
_LOG_LINES: Final = 12
_WRITTEN: Final = """
select cast(pg_current_wal_lsn() - cast('0/0' as pg_lsn) as bigint), pg_database_size(current_database())
"""
_BASELINE: Final = [
    sys.executable,
    *("-P", "-m", "celery", "--app", f"{_PEERS}.celery_tasks", "worker", "--queues", "bench-events"),
    *("--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"),
]


class ContestFailed(EnrichmentError):
    """A contestant ended before it was done, or its rows do not hold each event once."""


class Contestant(NamedTuple):
    """One way to keep what flows do.

    `processes` times `lanes` flows run at a time, where that is what serves it best; `workers` is whose
    Celery worker runs beside it: `ours`, `baseline`, or nobody's.
    """

    name: str
    module: str
    option: str = ""
    processes: int = 1
    lanes: int = 1
    workers: str = ""
    is_ours: bool = False
    needs_peers: bool = False


class Found(NamedTuple):
    """What one run took, after its check has passed."""

    seconds: float
    phases: int
    costs_us: list[float]
    peak_mb: float
    worker_peak_mb: float
    wal_bytes: int
    table_bytes: int
    notes: dict[str, float]

    @property
    def phases_per_s(self) -> float:
        """Return how many phases a second became durable."""
        return self.phases / self.seconds


def run(
    place: Place,
    contestant: Contestant,
    spec: Spec,
    *,
    worker_processes: int = 2,
    broker_url: str = "",
    workers_last: bool = False,
) -> Found:
    """Run a contestant, with so many processes of a worker if it has one; `workers_last` starts that last.

    Whatever ends by itself, or fails its check, raises ContestFailed.
    """
    with place.fresh(contestant.module, broker_url) as settings, ExitStack() as stack:
        folder = place.folder / "log"
        folder.mkdir(exist_ok=True)
        worker = running_worker(contestant.workers, folder, settings, worker_processes)
        pids = [] if workers_last or not contestant.workers else [stack.enter_context(worker).pid]
        peers = []
        for share in _shares(contestant, spec):
            # One after the other: some peers make their tables, and two at once would collide.
            peers.append(stack.enter_context(_peer(contestant, share, settings, folder)))
            _expect_line(peers[-1], "ready", folder)
        if workers_last:
            pids = [stack.enter_context(worker).pid]
        before = _written(settings)
        began = time.monotonic()
        _go(peers)
        for peer in peers:
            _expect_line(peer, "done", folder)
        seconds = time.monotonic() - began
        after = _written(settings)
        worker_peak_mb = max(map(_family_peak_mb, pids), default=0.0)
        _go(peers)
        found = [json.loads(_line(peer, folder)) for peer in peers]
    return Found(
        seconds,
        spec.phases,
        [cost / 1_000 for one in found for cost in one["costs"]],
        max(one["peak_mb"] for one in found),
        worker_peak_mb,
        wal_bytes=after[0] - before[0],
        table_bytes=after[1] - before[1],
        notes=found[0]["notes"],
    )


def _written(settings: Mapping[str, str]) -> tuple[int, int]:
    """Return how many bytes Postgres has written to its WAL, and how many this database takes."""
    with psycopg.connect(settings["BENCH_POSTGRES"], autocommit=True) as connection:
        row = connection.execute(_WRITTEN).fetchone()
        return row if row is not None else (0, 0)


def _family_peak_mb(pid: int) -> float:
    """Return the greatest memory that a process or one below it has had."""
    return max(map(peak_mb, (pid, *descendants(pid))))


@contextmanager
def running_worker(
    whose: str, folder: Path, settings: Mapping[str, str], processes: int
) -> Iterator[SupervisedProcess]:
    """Give a Celery worker that has told it is ready.

    Raises:
        ContestFailed: it does not.
    """
    options = [f"--concurrency={processes}", f"--hostname=bench{time.monotonic_ns()}@%h"]
    command = celery_commands.worker(*options) if whose == "ours" else [*_BASELINE, *options]
    log = folder / f"worker-{whose}.log"
    log.unlink(missing_ok=True)
    with SupervisedProcess(
        command, env=settings, folder=celery_commands.ROOT, log=log, stop_signal=signal.SIGTERM
    ) as worker:
        deadline = time.monotonic() + _READY_WITHIN_S
        while " ready" not in (log.read_text(errors="replace") if log.exists() else ""):
            if not worker.is_running or time.monotonic() > deadline:
                raise ContestFailed(f"The worker does not get ready:\n{_tail(log)}")
            time.sleep(0.05)
        yield worker


def _shares(contestant: Contestant, spec: Spec) -> Sequence[Spec]:
    """Divide the flows among the processes; a run with bodies is of one flow at a time."""
    if spec.body_ms:
        return [spec._replace(option=contestant.option)]
    count, rest = divmod(spec.flows, contestant.processes)
    shares, first = [], spec.first
    for number in range(contestant.processes):
        flows = count + (number < rest)
        shares.append(
            spec._replace(flows=flows, first=first, lanes=contestant.lanes, option=contestant.option)
        )
        first += flows
    return [share for share in shares if share.flows]


@contextmanager
def _peer(
    contestant: Contestant, spec: Spec, settings: Mapping[str, str], folder: Path
) -> Iterator["subprocess.Popen[str]"]:
    python = str(PEERS_PYTHON) if contestant.needs_peers else sys.executable
    command = [python, "-P", "-m", f"{_PEERS}.{contestant.module}", json.dumps(spec._asdict())]
    with (
        (folder / f"{contestant.module}.log").open("w") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=dict(settings),
            cwd=ROOT,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()


def _go(processes: Sequence["subprocess.Popen[str]"]) -> None:
    for process in processes:
        if process.stdin is not None:
            process.stdin.write("go\n")
            process.stdin.flush()


def _expect_line(process: "subprocess.Popen[str]", word: str, folder: Path) -> None:
    while _line(process, folder) != word:
        pass


def _line(process: "subprocess.Popen[str]", folder: Path) -> str:
    if process.stdout is not None and (line := process.stdout.readline()):
        return line.strip()
    module = str(process.args[3]).rpartition(".")[2]  # type: ignore[index]
    raise ContestFailed(f"{module} has ended by itself:\n{_tail(folder / f'{module}.log')}")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-_LOG_LINES:])
