"""Processes that hold many flows each and report now and then, whose clocks can be set.

    python -m tests.faults.harness.flocks ACCOUNT ENGAGEMENT FLOW_ID ...

SIGUSR1 sets the wall clock of the process back by an hour, SIGUSR2 forward by one.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from masterflow import tracker
from masterflow.domain.tenant import flow_context
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.processes.workplace import Workplace

_ROOT: Final = Path(__file__).parents[3]
_HOUR_NS: Final = 3_600_000_000_000
_BETWEEN_REPORTS_S: Final = 10.0
_PHASE: Final = "data_import"

CLOCK_BACK: Final = signal.SIGUSR1
CLOCK_FORWARD: Final = signal.SIGUSR2


@dataclass(frozen=True, slots=True, eq=False)
class Flock:
    """One of them, and the flows that it holds."""

    process: SupervisedProcess
    flow_ids: frozenset[UUID]
    spool: Path


class Flocks:
    """All of a test; they hold flows of one client account."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self.context = flow_context(UUID(int=1), UUID(int=2), "orchestrator")
        self.all: list[Flock] = []

    def start(self, flows: int, spool: Path, redis_url: str = "") -> Flock:
        """Start a process that holds so many new flows, with its outbox in this spool."""
        flow_ids = [self._place.new_flow(self.context) for _ in range(flows)]
        tenant = (self.context.client_account_id, self.context.engagement_id)
        process = SupervisedProcess(
            [sys.executable, "-m", "tests.faults.harness.flocks", *map(str, (*tenant, *flow_ids))],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(_ROOT),
                "REDIS_URL": redis_url or self._place.environment["REDIS_URL"],
                "ENRICHMENT_SPOOL_DIR": str(spool),
            },
            folder=_ROOT,
            log=self._place.folder / "flocks.log",
        )
        self.all.append(Flock(process, frozenset(flow_ids), spool))
        return self.all[-1]

    def stop(self) -> None:
        for flock in self.all:
            flock.process.signal_all(signal.SIGKILL)
            flock.process.wait()


def flows_of(flocks: Sequence[Flock]) -> set[UUID]:
    """Return the flows of these."""
    return {flow_id for flock in flocks for flow_id in flock.flow_ids}


def _step_clock(signal_number: int, _frame: object) -> None:
    time_ns, step = time.time_ns, _HOUR_NS if signal_number == CLOCK_FORWARD else -_HOUR_NS
    time.time_ns = lambda: time_ns() + step


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("account", type=UUID)
    parser.add_argument("engagement", type=UUID)
    parser.add_argument("flow_ids", type=UUID, nargs="+")
    options = parser.parse_args()
    for step in (CLOCK_BACK, CLOCK_FORWARD):
        signal.signal(step, _step_clock)
    context = flow_context(options.account, options.engagement, "orchestrator")
    with ExitStack() as stack:
        flows = [
            stack.enter_context(tracker.create_progress_tracker(flow_id, context, flow_type="discovery"))
            for flow_id in options.flow_ids
        ]
        for flow in flows:
            flow.begin(_PHASE)
        # The second half of them never reports again: only signs tell of those.
        for number in range(sys.maxsize):
            time.sleep(_BETWEEN_REPORTS_S)
            flows[number % (len(flows) // 2 or 1)].update_metadata({"reports": number})


if __name__ == "__main__":
    main()
