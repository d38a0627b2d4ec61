"""DBOS: a durable workflow for each flow, and a step for each phase, whose result is a row of Postgres."""

import os
from typing import Any

import psycopg
from dbos import DBOS, SetWorkflowID

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

_STEPS = """
select count(*), count(distinct function_id) from dbos.operation_outputs
where workflow_uuid = %s and error is null
"""
_STATUS = "select status from dbos.workflow_status where workflow_uuid = %s"


class DBOSWorkflows:
    """Workflows that run where they are called; all rounds of a flow are one workflow."""

    def __init__(self, spec: Spec, stopwatch: Stopwatch) -> None:
        self._spec = spec
        self._stopwatch = stopwatch

    def prepare(self) -> None:
        """Make the tables, and run one flow."""
        address = os.environ["BENCH_POSTGRES"]
        DBOS(
            config={
                "name": "bench",
                "system_database_url": address,
                "run_admin_server": False,
                "log_level": "ERROR",
                "enable_otlp": False,
            }
        )
        stopwatch = self._stopwatch

        @DBOS.step()
        def step_of(phase: str, step: int) -> dict[str, Any]:
            """Run a phase; what it returns is kept."""
            stopwatch.body()
            return {"phase": phase, **entry(step)}

        @DBOS.workflow()
        def flow(steps: int) -> int:
            """Run all phases."""
            for step in range(steps):
                step_of(phase_of(step), step)
            return steps

        self._workflow = flow
        DBOS.launch()
        with SetWorkflowID("warm"):
            stopwatch.begin()
            flow(10)
            stopwatch.end()
        stopwatch.costs.clear()

    def run(self) -> None:
        """Run all flows."""
        in_lanes(self._spec, self._flow)

    def check(self) -> None:
        """Count each workflow's steps."""
        steps = len(self._spec.steps)
        with psycopg.connect(os.environ["BENCH_POSTGRES"]) as connection:
            for number in self._spec.numbers:
                found = connection.execute(_STEPS, [str(flow_uuid(number))]).fetchone()
                expect(number, "steps, and different ones", found, (steps, steps))
                status = connection.execute(_STATUS, [str(flow_uuid(number))]).fetchone()
                expect(number, "the status", status, ("SUCCESS",))

    def close(self) -> None:
        """End its threads."""
        DBOS.destroy()

    def _flow(self, number: int) -> None:
        self._stopwatch.begin()
        with SetWorkflowID(str(flow_uuid(number))):
            self._workflow(len(self._spec.steps))
        self._stopwatch.end()


if __name__ == "__main__":
    serve(DBOSWorkflows)
