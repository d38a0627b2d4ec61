"""What a bigger installation needs, worked out from what was measured here."""

import math
from collections.abc import Sequence
from typing import Any, Final

from masterflow.scripts.bench.peers.workload import PHASES

#: Flows a day.
_INSTALLATIONS: Final = (10_000, 100_000, 1_000_000, 10_000_000)
#: The busiest second of a day, against the mean of it.
_PEAK: Final = 10
#: How much of what a machine can do it should be asked for.
_SHARE: Final = 0.5
_DAY_S: Final = 86_400


def sizing(figures: dict[str, Any]) -> str:
    """Return the table of installations as Markdown, and the sentences that it follows from."""
    loads = list(figures["throughput"][0]["loads"].values())
    slowest = min(loads, key=lambda load: load["phases_per_s"])
    rate, wal = slowest["phases_per_s"], slowest["wal_bytes_per_phase"]
    row = max(load["table_bytes_per_phase"] for load in loads[:3:2] or loads) * len(PHASES)
    lines = [
        f"One small machine with everything on it ({figures['about']['machine']}) merged {rate:,.0f} phases a"
        f" second in its slowest load, and wrote {wal / 1_000:,.1f} kB of WAL for each; a flow took"
        f" {row / 1_000:,.0f} kB of the table, and a worker's process"
        f" {max(load['worker_peak_mb'] for load in loads):,.0f} MB. {_told_workers(figures['backlog'])}"
        f" Flows of {len(PHASES)} phases, a busiest second of {_PEAK} times the mean, and machines that are"
        f" asked for {_SHARE:.0%} of that:",
        "",
        "| flows a day | mean phases/s | busiest | such machines | WAL a day | table grows a day |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_installation(flows, rate=rate, wal=wal, row=row) for flows in _INSTALLATIONS),
    ]
    return "\n".join([*lines, ""])


def _installation(flows: int, *, rate: float, wal: float, row: float) -> str:
    phases = flows * len(PHASES)
    mean = phases / _DAY_S
    machines = math.ceil(mean * _PEAK / (rate * _SHARE))
    cells = [f"{flows:,}", f"{mean:,.1f}", f"{mean * _PEAK:,.0f}", f"{machines:,}"]
    return f"| {' | '.join([*cells, _gigabytes(phases * wal), _gigabytes(flows * row)])} |"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"


def _told_workers(rows: Sequence[dict[str, Any]]) -> str:
    found = [row for row in rows if "failed" not in row]
    told = [
        f"{row['drained_phases_per_s']:,.0f} phases/s with {row['workers']} through {row['broker']}"
        for row in found
    ]
    return f"A backlog drained by the number of workers' processes: {', '.join(told)}." if told else ""
