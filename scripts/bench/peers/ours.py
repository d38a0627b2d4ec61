"""This project: hooks report phases and an agent's entries, and a worker merges them into the row."""

import os
import time
from typing import Final

import psycopg

from masterflow import create_progress_tracker, flush, phase
from masterflow.domain.tenant import flow_context
from masterflow.scripts.bench.peers.rows import TENANT, Rows
from masterflow.scripts.bench.peers.workload import (
    Spec,
    Stopwatch,
    Unequal,
    entry,
    flow_uuid,
    phase_of,
    serve,
)
from masterflow.tracker import FlowProgressTracker, outbox_status, shutdown

_DELIVERED_WITHIN_S: Final = 1_200.0
_CONTEXT: Final = flow_context(*TENANT)


class Ours:
    """All flows are open at once: each reports its first phase, then each its second, and so on.

    With the option `backlog` they have reported before the clock starts, and no worker was there.
    """

    def __init__(self, spec: Spec, stopwatch: Stopwatch) -> None:
        self._spec = spec
        self._stopwatch = stopwatch
        self._connection = psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True)
        self._rows = Rows(self._connection, spec)

    def prepare(self) -> None:
        """Make full rows, if there shall be some; young ones are made by their first event."""
        if self._spec.is_full:
            self._rows.make()
        if self._spec.option == "backlog":
            self._run_together()
            return
        warm = create_progress_tracker(flow_uuid(2**64), _CONTEXT, flow_type="discovery", create=True)
        warm.complete_flow()
        flush(60)

    def run(self) -> None:
        """Report, and wait until a worker has committed all of it."""
        if self._spec.option == "backlog":
            self._drain()
            return
        if self._spec.body_ms:
            self._run_one_by_one()
        else:
            self._run_together()
        flush(_DELIVERED_WITHIN_S)

    def check(self) -> None:
        """Read the rows.

        Raises:
            Unequal: not everything was delivered.
        """
        status = outbox_status()
        if status["pending_records"] or status["lost"]:
            raise Unequal(f"not all was delivered: {status}")
        self._rows.check()

    def close(self) -> None:
        """End the sender."""
        shutdown(10)
        self._connection.close()

    def _run_one_by_one(self) -> None:
        for number in self._spec.numbers:
            self._stopwatch.begin()
            with self._tracker(number) as tracker:
                for step in self._spec.steps:
                    with phase(phase_of(step)):
                        self._stopwatch.body()
                        _report_entry(tracker, step)
            tracker.complete_flow()
            self._stopwatch.end()

    def _drain(self) -> None:
        """Wait for the workers, and note how fast they are once they have begun."""
        status = outbox_status()
        while not (begun := outbox_status()["confirmed"]):
            time.sleep(0.01)
        began = time.monotonic()
        flush(_DELIVERED_WITHIN_S)
        seconds = time.monotonic() - began
        share = (status["reported"] - begun) / status["reported"]
        self._stopwatch.notes["drained_phases_per_s"] = share * self._spec.phases / seconds

    def _run_together(self) -> None:
        trackers = [self._tracker(number) for number in self._spec.numbers]
        for step in self._spec.steps:
            for tracker in trackers:
                with phase(phase_of(step), flow=tracker):
                    _report_entry(tracker, step)
        for tracker in trackers:
            tracker.complete_flow()

    def _tracker(self, number: int) -> FlowProgressTracker:
        return create_progress_tracker(flow_uuid(number), _CONTEXT, flow_type="discovery", create=True)


def _report_entry(tracker: FlowProgressTracker, step: int) -> None:
    fields = entry(step)
    tracker.report_agent_activity(fields["agent"], fields["activity"], fields["details"])


if __name__ == "__main__":
    serve(Ours)
