"""Run phases of many flows as an orchestrator does, and time them until workers have confirmed all.

`throughput.py` starts this in a process of its own, with the interpreter of the state that is measured:
`python throughput_phases.py fill`, or `... run PHASES` with the flows' ids on standard input.
"""

import asyncio
import json
import os
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from uuid import UUID

_LONGEST_WAIT_S = 600.0

# The state that is compared with may be of before there was one package.
_PREFIX = "masterflow." if find_spec("masterflow") else ""


def _module(name: str) -> Any:
    return import_module(f"{_PREFIX}{name}")


_tracker = _module("tracker")
_events = _module("domain.events")
_PHASES = _module("domain.phases").PHASES
# The same for every process of a measurement, so that one may go on with the flows of another.
_CONTEXT = _module("domain.tenant").flow_context(UUID(int=1), UUID(int=2), "bench")


def run_phase(flow: Any, flow_id: UUID, phase: str, number: int) -> None:
    """Run one phase that does nothing but tell what an agent did."""
    with _tracker.phase(phase, flow=flow):
        entry = {"agent": "Schema Expert", "action": "mapped columns", "details": {"mapped": number}}
        _tracker.report(_events.AgentCollaborated, _CONTEXT, flow_id, entry=entry)


def fill() -> dict[str, object]:
    """Make a flow whose lists are full."""
    flow_id = UUID(int=1)
    asyncio.run(_make_flow(flow_id))
    flow = _tracker.create_progress_tracker(flow_id, _CONTEXT)
    for number in range(100):
        run_phase(flow, flow_id, _PHASES[number % len(_PHASES)], number)
        error = f"row {number}: bad address"
        _tracker.report(_events.ErrorOccurred, _CONTEXT, flow_id, phase=_PHASES[0], error=error)
    return {"is_confirmed": _tracker.flush(_LONGEST_WAIT_S)}


async def _make_flow(flow_id: UUID) -> None:
    database, repository = _module("repository.database"), _module("repository")
    engine = database.make_engine(database.DatabaseSettings())
    await _module("repository.tables").create_tables(engine)
    tenant = (_CONTEXT.client_account_id, _CONTEXT.engagement_id, _CONTEXT.user_id)
    async with database.session_factory(engine)() as session:
        flows = repository.CrewAIFlowStateExtensionsRepository(session, *tenant)
        await flows.create_master_flow(flow_id, "discovery")
        await session.commit()
    await engine.dispose()


def run(flow_ids: list[UUID], phases: int) -> dict[str, object]:
    """Run phases of these flows in turn, as fast as they go; wait until all are in their rows."""
    flows = [(_tracker.create_progress_tracker(flow_id, _CONTEXT), flow_id) for flow_id in flow_ids]
    began = time.perf_counter()
    for number in range(phases):
        flow, flow_id = flows[number % len(flows)]
        run_phase(flow, flow_id, _PHASES[number // len(flows) % len(_PHASES)], number)
    reported_s = time.perf_counter() - began
    is_confirmed = _tracker.flush(_LONGEST_WAIT_S)
    return {
        "is_confirmed": is_confirmed,
        "reported_s": reported_s,
        "took_s": time.perf_counter() - began,
        "orchestrator_cpu_s": sum(os.times()[:2]),
    }


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        result = fill()
    else:
        result = run([UUID(line) for line in sys.stdin.read().split()], int(sys.argv[2]))
    _tracker.shutdown(5)
    sys.stdout.write(json.dumps(result))
