"""How much memory the processes under a process take."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from masterflow.scripts.supervise.supervisor import descendants


def peak_memory_mb(pid: int) -> float:
    """Return the most that this process, or one of those it started, has ever taken."""
    return max(_status_mb("VmHWM", pid))


def memory_mb(pids: Iterable[int]) -> float:
    """Return what these processes and all they started take now."""
    return sum(sum(_status_mb("VmRSS", pid)) for pid in pids)


def _status_mb(name: str, pid: int) -> list[float]:
    return [_field_mb(name, each) for each in (pid, *descendants(pid))]


def _field_mb(name: str, pid: int) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0
