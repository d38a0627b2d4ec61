"""An orchestrator that reports without a pause, and notes each event before its hook and after it.

    python -m tests.faults.harness.load NOTES --seed 1 --rate 300

SIGTERM ends the reporting but not the process, which delivers what it has until it is killed.
"""

import argparse
import os
import signal
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final
from uuid import UUID

from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    ErrorOccurred,
    Event,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    new_event,
)
from masterflow.domain.tenant import flow_context

FLOWS: Final = 200
_TENANTS: Final = 4

#: What follows an event in the notes once its hook has returned.
ACCEPTED: Final = b"accepted"

_PHASES: Final = ("data_import", "field_mapping", "data_cleansing", "asset_inventory")
_STATUSES: Final = ("processing", "paused", "waiting_for_approval", "failed", "active")
_HOUR_NS: Final = 3_600_000_000_000

#: What an event of each kind tells; the number is different in each one.
_FIELDS: Final[dict[type[Event], Callable[[Random, int], dict[str, Any]]]] = {
    PhaseTransitioned: lambda chance, n: {
        "phase": chance.choice(_PHASES),
        "status": chance.choice(["processing", "completed", "failed"]),
        "metadata": {"n": n},
    },
    PhaseTimed: lambda chance, n: {"phase": chance.choice(_PHASES), "execution_time_ms": n},
    AgentCollaborated: lambda chance, n: {"entry": {"agent": "mapper", "text": "x" * chance.randrange(300)}},
    MemoryMeasured: lambda chance, n: {"metrics": {"peak_mb": n}},
    AgentPerformanceMeasured: lambda chance, n: {"metrics": {chance.choice(_PHASES): {"calls": n}}},
    ErrorOccurred: lambda chance, n: {"phase": chance.choice(_PHASES), "error": f"Row {n} has no owner."},
    FlowRetried: lambda chance, n: {},
    MetadataUpdated: lambda chance, n: {"updates": {f"key_{n % 5}": n}},
    StatusChanged: lambda chance, n: {
        "status": "completed" if chance.random() < 0.02 else chance.choice(_STATUSES),
        "reopens": chance.random() < 0.3,
        "metadata": {"reported": n},
    },
    ProgressReported: lambda chance, n: {"snapshot": {"n": n}},
}


def flow(number: int) -> tuple[FlowContext, UUID]:
    """Return one of the flows, which belong to a few tenants in turn."""
    tenant = UUID(int=number % _TENANTS + 1)
    return flow_context(tenant, tenant, "orchestrator"), UUID(int=1_000 + number)


#: The client accounts of all flows.
ACCOUNTS: Final = tuple(UUID(int=number + 1) for number in range(_TENANTS))


class Load:
    """Reports random events of random flows; the same seed reports the same ones."""

    def __init__(self, notes: str, seed: int) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._chance = Random(seed)
        self._reported = 0

    def report(self) -> None:
        kind = self._chance.choice(list(_FIELDS))
        context, flow_id = flow(self._chance.randrange(FLOWS))
        self._reported += 1
        fields = _FIELDS[kind](self._chance, self._reported)
        event = new_event(kind, context, flow_id, **fields)
        os.write(self._notes, f"{event.model_dump_json()}\n".encode())
        own = {"event_id": event.event_id, "occurred_at": event.occurred_at}
        tracker.report(kind, context, flow_id, **own, **fields)
        os.write(self._notes, ACCEPTED + b"\n")


def set_clock_back() -> None:
    """Let the wall clock of this process go back by an hour."""
    time_ns = time.time_ns
    time.time_ns = lambda: time_ns() - _HOUR_NS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("notes")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--clock-back-after", type=int, default=-1, help="events")
    options = parser.parse_args()
    is_over = []
    signal.signal(signal.SIGTERM, lambda *_: is_over.append(True))
    load, started, count = Load(options.notes, options.seed), time.monotonic(), 0
    while not is_over:
        load.report()
        count += 1
        if count == options.clock_back_after:
            set_clock_back()
        time.sleep(max(0.0, started + count / options.rate - time.monotonic()))
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
