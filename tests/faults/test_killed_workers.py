from collections.abc import Callable

from tests.faults.checker import AS_IT_SHOULD_BE
from tests.faults.crew import Worker
from tests.faults.run import Run


def kill_after_a_freeze(run: Run, worker: Worker) -> None:
    """Kill a worker as a thrashing host would: what Redis gave it meanwhile, it has not noted as held."""
    [other] = [each for each in run.crew.workers if each is not worker]
    worker.process.pause()
    other.wait_until_it_consumes(messages=10)
    worker.process.kill()


def kill(run: Run, victim: str) -> None:
    worker = run.chance.choice(run.crew.workers)
    killed = run.crew.workers if victim == "all workers" else [worker]
    with run.fault(f"{victim} killed"):
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


def test_killed_workers_lose_nothing_and_count_nothing_twice(run: Run) -> None:
    victims = ["child", "parent", "frozen worker", "all workers"] * run.scale.times(1, 8)
    for victim in run.shuffled(victims):
        kill(run, victim)
        run.crew.wait_until_all_consume()
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []


def test_control_without_resending_the_same_kills_lose_events(start_run: Callable[..., Run]) -> None:
    run = start_run(ENRICHMENT_CONFIRM_TIMEOUT_S="100000")
    for _ in range(3):
        worker = run.chance.choice(run.crew.workers)
        with run.fault("control, nothing sent again: frozen worker killed"):
            kill_after_a_freeze(run, worker)
            worker.start()
        worker.wait_until_it_consumes()
    run.stop_reporting()
    run.drain()
    verdict = run.judge()
    assert verdict.differing_rows > 0
    assert verdict.twice == 0
