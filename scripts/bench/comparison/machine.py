"""What the figures depend on: the machine, its disk, what else it did, and the versions."""

import os
import platform
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, Final

from masterflow.scripts.bench.comparison.contest import PEERS_PYTHON, ROOT
from masterflow.scripts.bench.comparison.contestants import PACKAGES
from masterflow.scripts.bench.comparison.results import state_of_the_code

_ASK: Final = (
    "import sys; from importlib import metadata\n"
    "for name in sys.argv[1:]: print(name, metadata.version(name))"
)


def about(command: str, servers: str) -> dict[str, Any]:
    """Return what a reader has to know of the place where it was measured."""
    return {
        "command": command,
        "commit": state_of_the_code(ROOT),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load": _told_load(os.getloadavg()[0]),
        "machine": (
            f"{os.cpu_count()} cores of {_cpu()}, {_memory_gb():.0f} GB, Linux {platform.release()},"
            f" a write that is flushed to its disk takes {_fsync_ms():.1f} ms"
        ),
        "servers": servers,
        "versions": {"Python": platform.python_version(), **_versions()},
    }


def _told_load(load: float) -> str:
    cores = os.cpu_count() or 1
    if load < cores / 4:
        return "The machine did nothing else."
    return f"The machine was not idle before (load {load:.1f}), so the ratios say more than the figures."


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _fsync_ms() -> float:
    """Return how long Postgres has to wait for each commit at the least."""
    durations_s = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(50):
            file.write(bytes(8_192))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            durations_s.append(time.perf_counter() - began)
    return median(durations_s) * 1_000


def _versions() -> dict[str, str]:
    if PEERS_PYTHON.exists():
        told = subprocess.run(
            [PEERS_PYTHON, "-c", _ASK, *PACKAGES], capture_output=True, text=True, check=True
        ).stdout
        return dict(line.split() for line in told.splitlines())
    return {name: metadata.version(name) for name in ("celery", "psycopg", "redis", "sqlalchemy")}
