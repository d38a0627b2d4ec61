"""Prefect 3 with a server of its own on this machine: a task for each phase.

The server keeps its state in SQLite, as it does by default: in Postgres it needs the extension
pg_trgm, which the embedded one lacks.
"""

import os
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from prefect import flow, task

from masterflow.scripts.bench.peers.workload import (
    Spec,
    Stopwatch,
    entry,
    expect,
    flow_uuid,
    in_lanes,
    phase_of,
    serve,
)

_READY_WITHIN_S: Final = 120.0
_DURABLE_WITHIN_S: Final = 120.0
_COMPLETED: Final = """
select count(*), count(distinct task_run.id) from task_run join flow_run on flow_run.id = task_run.flow_run_id
where flow_run.name = ? and task_run.state_type = 'COMPLETED'
"""
_ALL_COMPLETED: Final = """
select count(*) from task_run join flow_run on flow_run.id = task_run.flow_run_id
where flow_run.name <> 'warm' and task_run.state_type = 'COMPLETED'
"""


class PrefectFlows:
    """A flow run for each flow; it waits at the end until the server has written the states of all tasks."""

    def __init__(self, spec: Spec, stopwatch: Stopwatch) -> None:
        self._spec = spec
        self._stopwatch = stopwatch
        self._server: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Start the server, which makes its tables, and run one flow."""
        self._server = _server()
        stopwatch = self._stopwatch

        @task
        def step_of(phase: str, step: int) -> dict[str, Any]:
            stopwatch.body()
            return {"phase": phase, **entry(step)}

        @flow
        def run(steps: int) -> None:
            for step in range(steps):
                step_of(phase_of(step), step)

        self._run = run
        self._run_flow("warm")
        self._stopwatch.costs.clear()

    def run(self) -> None:
        """Run all flows, and wait until the server has written what they did."""
        in_lanes(self._spec, lambda number: self._run_flow(str(flow_uuid(number))))
        deadline = time.monotonic() + _DURABLE_WITHIN_S
        with self._database() as connection:
            while connection.execute(_ALL_COMPLETED).fetchone() != (self._spec.phases,):
                if time.monotonic() > deadline:
                    break  # The check says what is missing.
                time.sleep(0.05)

    def check(self) -> None:
        """Count each flow's tasks."""
        steps = len(self._spec.steps)
        with self._database() as connection:
            for number in self._spec.numbers:
                found = connection.execute(_COMPLETED, [str(flow_uuid(number))]).fetchone()
                expect(number, "tasks, and different ones", found, (steps, steps))

    @staticmethod
    def _database() -> "closing[sqlite3.Connection]":
        file = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
        return closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10))

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(30)

    def _run_flow(self, name: str) -> None:
        self._stopwatch.begin()
        self._run.with_options(flow_run_name=name)(len(self._spec.steps))
        self._stopwatch.end()


def _server() -> "subprocess.Popen[bytes]":
    address = os.environ["PREFECT_API_URL"]
    port = address.rpartition(":")[2].partition("/")[0]
    program = Path(sys.executable).with_name("prefect")
    server = subprocess.Popen(
        [program, "server", "start", "--host", "127.0.0.1", "--port", port], stdout=sys.stderr
    )
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):  # noqa: S310  our own server
                return server
        except OSError:
            time.sleep(0.2)
    server.kill()
    raise TimeoutError("The server of Prefect does not answer.")


if __name__ == "__main__":
    serve(PrefectFlows)
