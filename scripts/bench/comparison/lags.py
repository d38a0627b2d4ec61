"""The lag from hook to commit at several rates: `masterflow.scripts.bench.lag` on the benchmark's servers."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from masterflow.scripts.bench.comparison.contest import ROOT, ContestFailed
from masterflow.scripts.bench.comparison.servers import Place
from masterflow.scripts.bench.http_load import percentile
from masterflow.scripts.bench.lag import Chain, Lag
from masterflow.scripts.terminal.entrance import run_program

_LOG_CHARS: Final = 500


def lags(place: Place, rates: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """Measure each rate for so long, in a process of its own.

    Raises:
        ContestFailed: it ended without figures, or not every event was seen to be committed.
    """
    with place.fresh("lag") as settings:
        arguments = [settings["BENCH_FOLDER"], str(seconds), *map(str, rates)]
        command = [sys.executable, "-P", "-m", "masterflow.scripts.bench.comparison.lags", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=ROOT, check=False)
    if done.returncode:
        raise ContestFailed(f"The lag was not measured: {done.stderr[-_LOG_CHARS:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _shown(lag: Lag) -> dict[str, Any]:
    milliseconds = [lag_s * 1_000 for lag_s in lag.lags_s]
    return {
        "events_per_s": lag.events_per_s,
        "events": len(milliseconds),
        **{f"p{share}_ms": percentile(milliseconds, share) for share in (50, 90, 99)},
        "worst_ms": max(milliseconds),
        "hook_p50_us": lag.hooks.us(0.5),
        "hook_p99_us": lag.hooks.us(0.99),
        "log_line_p50_us": lag.log_lines.us(0.5),
        "log_line_p99_us": lag.log_lines.us(0.99),
    }


def main(folder: str, seconds: str, *rates: str) -> None:
    """Print the figures as a line of JSON."""
    with Chain.running(Path(folder)) as chain:
        print(json.dumps([_shown(chain.measure(int(rate), float(seconds))) for rate in rates]))


if __name__ == "__main__":
    run_program(lambda: main(*sys.argv[1:]))
