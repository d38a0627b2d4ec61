from collections.abc import Callable
from typing import get_args

from tests.faults.checker import AS_IT_SHOULD_BE
from tests.faults.kills import Victim, kill, kill_after_a_freeze
from tests.faults.run import Run


def test_killed_workers_lose_nothing_and_count_nothing_twice(run: Run) -> None:
    victims: list[Victim] = [*get_args(Victim)] * run.scale.times(1, 8)
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
