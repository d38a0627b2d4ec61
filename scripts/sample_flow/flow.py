"""Runs the discovery flow: each phase under the hook, once more when it failed only for now."""

import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from masterflow.domain import FlowContext, TransientError
from masterflow.domain.phases import PHASE_PROGRESS
from masterflow.domain.statuses import FlowStatus
from masterflow.scripts.sample_flow.discovery import Approver, ChildStore, Discovery, Scenario
from masterflow.scripts.sample_flow.fields import FieldMapping
from masterflow.scripts.sample_flow.phases import PHASE_FUNCTIONS, PhaseFunction, Results
from masterflow.tracker import create_progress_tracker, phase
from masterflow.tracker.summaries import figures

_MAX_ATTEMPTS: Final = 3

#: Is told the phase that starts, and the flow's progress in percent.
OnProgress = Callable[[str, int], None]


@dataclass(frozen=True)
class Outcome:
    """How a flow ended, or that it waits."""

    status: FlowStatus
    rows: int
    servers: int
    issues: int
    by_strategy: dict[str, int]
    duration_s: float


async def run_flow(  # noqa: PLR0913  each is an option of its own, by name
    context: FlowContext,
    flow_id: UUID,
    csv_path: Path,
    scenario: Scenario,
    child_store: ChildStore,
    *,
    approver: Approver | None = None,
    on_progress: OnProgress | None = None,
    on_asked: Callable[[], None] | None = None,
    rest_s: float = 0.06,
) -> Outcome:
    """Run one flow to its end, or until it waits for an approval that nobody gives.

    With `on_asked` the flow asks people for the approval, calls that, and waits until somebody answers.
    `approver` defaults to one that approves after a moment, and in the scenario `approval` to nobody.
    A file that cannot be used (`CsvInvalid`), like any other error, marks the flow as failed and is raised.
    """
    tracker = create_progress_tracker(flow_id, context)
    approver = approver or _default_approver(scenario, rest_s)
    flow = Discovery(tracker, csv_path, scenario, approver, rest_s, on_asked)
    started_s = time.monotonic()
    with tracker:
        finished = await _run_phases(flow, child_store, on_progress=on_progress or _ignore)
        if finished:
            await tracker.complete_flow({"servers": len(flow.servers), "issues": len(flow.issues)})
    return _outcome(flow, "completed" if finished else "waiting_for_approval", time.monotonic() - started_s)


async def _run_phases(flow: Discovery, child_store: ChildStore, *, on_progress: OnProgress) -> bool:
    for function in PHASE_FUNCTIONS:
        name = function.__name__
        on_progress(name, PHASE_PROGRESS[name])
        results, elapsed_ms = await _run_phase(function, flow)
        await flow.tracker.report_memory(
            {"peak_memory_mb": _peak_memory_mb(), "servers_in_memory": len(flow.servers)}
        )
        if results is None:
            return False
        await child_store.save(name, results, completed=True, duration_ms=elapsed_ms)
    on_progress("completed", 100)
    return True


async def _run_phase(function: PhaseFunction, flow: Discovery) -> tuple[Results | None, float]:
    """Return a phase's results and for how long it worked; what fails only for now is tried again."""
    for attempt in range(1, _MAX_ATTEMPTS):
        try:
            return await _attempt_phase(function, flow)
        except TransientError:
            await asyncio.sleep(flow.rest_s * attempt)
    return await _attempt_phase(function, flow)


async def _attempt_phase(function: PhaseFunction, flow: Discovery) -> tuple[Results | None, float]:
    with phase(function.__name__) as run:
        results = await function(flow)
        run.note(**figures(results))
    return results, run.elapsed_ms


def _default_approver(scenario: Scenario, rest_s: float) -> Approver:
    async def approve(_mappings: Sequence[FieldMapping]) -> str | None:
        await asyncio.sleep(rest_s * 5)
        return None if scenario is Scenario.APPROVAL else "the sample's approver"

    return approve


def _outcome(flow: Discovery, status: FlowStatus, duration_s: float) -> Outcome:
    return Outcome(
        status=status,
        rows=len(flow.table.rows),
        servers=len(flow.servers),
        issues=len(flow.issues),
        by_strategy=dict(Counter(name for name, _ in flow.strategies.values()).most_common()),
        duration_s=duration_s,
    )


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _ignore(phase_name: str, percent: int) -> None:
    """Show nothing."""
