import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from masterflow.domain.redis_keys import KEY_PREFIX, queue_key
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.faults.harness.checker import AS_IT_SHOULD_BE
from tests.faults.harness.load import FLOWS, flow
from tests.faults.harness.run import Run
from tests.support.eventually import eventually
from tests.support.servers.guarded import ORCHESTRATOR

_ROOT = Path(__file__).parents[2]
_AT_ONCE = 3
_MOST_COPIES = 0.05


def is_done(log: Path) -> bool:
    return "done" in log.read_text()


def go_through_the_phase(run: Run, *, attempts: int, within_s: float) -> None:
    """Let some processes do this at once, and kill them as soon as their last hook has returned."""
    context, flow_id = flow(FLOWS)
    tenant = [str(context.client_account_id), str(context.engagement_id), context.user_id]
    command = [sys.executable, "-m", "tests.faults.harness.attempts", str(flow_id), *tenant]
    command += ["--attempts", str(attempts // _AT_ONCE), "--within-s", str(within_s)]
    logs = [run.place.folder / f"attempts-{number}.log" for number in range(_AT_ONCE)]
    for log in logs:
        log.unlink(missing_ok=True)
    env = run.place.environment_of(ORCHESTRATOR)
    processes = [SupervisedProcess(command, env=env, folder=_ROOT, log=log) for log in logs]
    for process, log in zip(processes, logs, strict=True):
        eventually(partial(is_done, log), timeout_s=within_s + 60)
        process.kill()


def counts(run: Run, flow_id: UUID) -> tuple[int, int]:
    row = run.place.row(flow_id)
    return row["retry_count"], (row["phase_execution_times"] or {}).get("item", {}).get("attempts", 0)


@pytest.mark.brokers("redis")
def test_counts_are_exact_after_all_workers_were_absent(
    start_run: Callable[..., Run], own_redis: EmbeddedRedis
) -> None:
    run = start_run(ENRICHMENT_CONFIRM_TIMEOUT_S="10")
    queue, each = queue_key(ENRICHMENT_QUEUE), run.scale.times(300, 17_000)
    absence_s = run.scale.seconds(4, 600)
    flow_id = run.place.new_flow(*flow(FLOWS))
    eventually(lambda: run.orchestrators.accepted >= run.scale.events, timeout_s=240)
    run.orchestrators.stop_reporting()
    run.crew.stop()
    for _ in range(2):
        go_through_the_phase(run, attempts=_AT_ONCE * each, within_s=absence_s / 2)
        own_redis.restart()
    recorded = run.place.redis.lrange(queue, 0, -1)
    came_back = time.time()
    for worker in run.crew.workers:
        worker.start()
    run.deliver(run.scale.seconds(90, 900))
    run.measurements.note("all workers absent", time.time() - came_back)
    counters = run.place.counters()
    # No copy at all leaves no counter.
    assert counters.get("repeated", 0) <= _MOST_COPIES * counters["applied"]
    assert recorded
    # Later than workers remember what they committed, and after hundreds of other attempts.
    run.place.redis.delete(*run.place.redis.scan_iter(f"{KEY_PREFIX}attempt:*"))
    go_through_the_phase(run, attempts=_AT_ONCE * 200, within_s=0)
    run.place.redis.rpush(queue, *recorded)
    attempts = _AT_ONCE * (2 * each + 200)
    eventually(lambda: counts(run, flow_id) == (attempts // 2, attempts), timeout_s=60)
    run.drain()
    assert counts(run, flow_id) == (attempts // 2, attempts)
    assert run.judge() == AS_IT_SHOULD_BE
