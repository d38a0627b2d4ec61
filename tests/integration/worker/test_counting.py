import subprocess
import sys
from collections.abc import Callable
from uuid import UUID

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.redis_keys import queue_key
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

ATTEMPTS = 500
ORCHESTRATOR = f"""
import sys
from masterflow import tracker
from masterflow.domain.tenant import flow_context

flow = tracker.create_progress_tracker(sys.argv[1], flow_context(*sys.argv[2:5]))
for number in range({ATTEMPTS}):
    try:
        with tracker.phase("item", flow=flow):
            if number % 2 == 0:
                raise ValueError("every other one fails")
    except ValueError:
        pass
tracker.flush(float(sys.argv[5]))
"""


def run_orchestrator(place: Workplace, flow_id: UUID, context: FlowContext, flush_s: float) -> None:
    tenant = [str(context.client_account_id), str(context.engagement_id), context.user_id]
    command = [sys.executable, "-c", ORCHESTRATOR, str(flow_id), *tenant, str(flush_s)]
    environment = {**place.environment, "ENRICHMENT_SPOOL_DIR": str(place.folder / "spool")}
    subprocess.run(command, env=environment, cwd=place.folder, check=True, timeout=60)


def counts(place: Workplace, flow_id: UUID) -> tuple[int, int]:
    row = place.row(flow_id)
    return row["retry_count"], row["phase_execution_times"].get("item", {}).get("attempts", 0)


@pytest.mark.long
def test_counts_are_exact_after_absence_restarts_and_copies_of_every_message(
    make_workplace: Callable[..., Workplace], context: FlowContext
) -> None:
    place = make_workplace(ENRICHMENT_CONFIRM_TIMEOUT_S="1")
    flow_id = place.new_flow(context)
    queue = queue_key(ENRICHMENT_QUEUE)
    # Without a worker, and each time in a new process that adopts what the one before left.
    for _ in range(2):
        run_orchestrator(place, flow_id, context, 2)
    copies = place.redis.lrange(queue, 0, -1)
    assert copies
    everything = (3 * ATTEMPTS // 2, 3 * ATTEMPTS)
    with place.worker():
        run_orchestrator(place, flow_id, context, 20)
        eventually(lambda: counts(place, flow_id) == everything, timeout_s=60)
    place.redis.rpush(queue, *copies)
    with place.worker():
        eventually(lambda: place.redis.llen(queue) == 0, timeout_s=60)
        assert eventually(lambda: place.counters()["repeated"] > 0)
    assert counts(place, flow_id) == everything
