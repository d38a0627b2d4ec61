from collections.abc import Callable
from typing import get_args

import pytest

from tests.faults.harness.checker import AS_IT_SHOULD_BE
from tests.faults.harness.kills import Victim, kill_a_frozen_worker, kill_again_and_again
from tests.faults.harness.run import Run

_MOST_CONTROL_KILLS = 10


def test_killed_workers_lose_nothing_and_count_nothing_twice(run: Run) -> None:
    for victim in run.shuffled(get_args(Victim)):
        kill_again_and_again(run, victim, run.scale.times(3, 30))
    for _ in range(run.scale.times(1, 8)):
        kill_a_frozen_worker(run)
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []


@pytest.mark.long
@pytest.mark.brokers("redis")
def test_control_without_resending_such_kills_lose_events(start_run: Callable[..., Run]) -> None:
    run = start_run(ENRICHMENT_CONFIRM_TIMEOUT_S="100000")
    verdict = AS_IT_SHOULD_BE
    for _ in range(_MOST_CONTROL_KILLS):
        kill_a_frozen_worker(run)
        run.orchestrators.stop_reporting()
        run.wait_until_nothing_happens()
        verdict = run.judge()
        if verdict.lost:
            break
        run.orchestrators.start()
    assert verdict.lost > 0
    assert verdict.twice == 0
