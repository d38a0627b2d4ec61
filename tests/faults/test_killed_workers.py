from collections.abc import Callable
from typing import get_args

from tests.faults.checker import AS_IT_SHOULD_BE
from tests.faults.kills import Victim, kill
from tests.faults.run import Run

_MOST_CONTROL_KILLS = 10


def test_killed_workers_lose_nothing_and_count_nothing_twice(run: Run) -> None:
    victims: list[Victim] = [*get_args(Victim)] * run.scale.times(1, 8)
    for victim in run.shuffled(victims):
        kill(run, victim)
        run.crew.wait_until_all_consume()
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []


def test_control_without_resending_such_kills_lose_events(start_run: Callable[..., Run]) -> None:
    run = start_run(ENRICHMENT_CONFIRM_TIMEOUT_S="100000")
    verdict = AS_IT_SHOULD_BE
    for _ in range(_MOST_CONTROL_KILLS):
        kill(run, "frozen worker")
        run.stop_reporting()
        run.wait_until_nothing_happens()
        verdict = run.judge()
        if verdict.differing_rows > 0:
            break
        run.start_orchestrator()
    assert verdict.differing_rows > 0
    assert verdict.twice == 0
