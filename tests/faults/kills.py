"""The ways in which a worker is killed under load."""

from typing import Literal

from tests.faults.crew import START_TIMEOUT_S, Worker
from tests.faults.run import Run

Victim = Literal["child", "parent", "frozen worker", "all workers"]


def kill_after_a_freeze(run: Run, worker: Worker) -> None:
    """Kill a worker as a thrashing host would: what Redis gave it meanwhile, it has not noted as held."""
    [other] = [each for each in run.crew.workers if each is not worker]
    worker.process.pause()
    other.wait_until_it_consumes(messages=10)
    worker.process.kill()


def kill(run: Run, victim: Victim) -> None:
    """Kill a worker, or a part of it, and start what is gone again."""
    worker = run.chance.choice(run.crew.workers)
    killed = run.crew.workers if victim == "all workers" else [worker]
    with run.fault(f"{victim} killed", within_s=START_TIMEOUT_S):
        match victim:
            case "child":
                worker.kill_a_child(run.chance)
                return
            case "parent":
                worker.kill_the_parent()
            case "frozen worker":
                kill_after_a_freeze(run, worker)
            case "all workers":
                for each in killed:
                    each.process.kill()
        for each in killed:
            each.start()
