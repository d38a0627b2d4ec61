"""The ways in which a worker is killed under load."""

import time
from typing import Final, Literal

from masterflow.tasks.queues import speaks_amqp
from tests.faults.harness.crew import START_TIMEOUT_S, Worker
from tests.faults.harness.run import Run
from tests.support.eventually import eventually

Victim = Literal["child", "parent", "all workers"]

PACE_S: Final = 2.0


def kill_again_and_again(run: Run, victim: Victim, times: int) -> None:
    """Kill every two seconds, whether or not what was killed before is back at work."""
    started = time.monotonic()
    with run.fault(f"{victim} killed every 2 s", times=times, within_s=START_TIMEOUT_S):
        for number in range(times):
            _kill(run, victim)
            time.sleep(max(0.0, started + (number + 1) * PACE_S - time.monotonic()))


def kill_a_frozen_worker(run: Run) -> None:
    """Kill a worker as a thrashing host would: what Redis gave it meanwhile, it has not noted as held."""
    worker, other = run.shuffled(run.crew.workers)
    with run.fault("frozen worker killed", within_s=START_TIMEOUT_S):
        # Only once all is done that was sent again after the kills before.
        eventually(lambda: _is_frozen_while_it_waits(run, worker), timeout_s=120)
        other.wait_until_it_consumes(messages=10)
        worker.process.kill()
        worker.start()


def _kill(run: Run, victim: Victim) -> None:
    worker = run.chance.choice(run.crew.workers)
    match victim:
        case "child":
            worker.kill_a_child(run.chance)
        case "parent":
            worker.kill_the_parent()
            worker.start()
        case "all workers":
            for each in run.crew.workers:
                each.process.kill()
            for each in run.crew.workers:
                each.start()


def _is_frozen_while_it_waits(run: Run, worker: Worker) -> bool:
    """Freeze a worker while both wait for the next message; return whether that came about."""
    if not _all_wait(run):
        return False
    worker.process.pause()
    if _all_wait(run):
        return True
    worker.process.resume()
    return False


def _all_wait(run: Run) -> bool:
    """Return whether every worker is next in turn; RabbitMQ gives them messages without being asked."""
    if speaks_amqp(run.place.settings.broker_url):
        return True
    return bool(run.place.redis.info("clients")["blocked_clients"] == len(run.crew.workers))
