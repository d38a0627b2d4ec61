import pytest

from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from tests.faults.harness.checker import AS_IT_SHOULD_BE
from tests.faults.harness.harms import rabbitmq_harms
from tests.faults.harness.kills import kill_a_frozen_worker, kill_again_and_again
from tests.faults.harness.run import Run


@pytest.mark.brokers("rabbitmq")
def test_workers_may_be_killed_and_rabbitmq_may_die_hang_forget_and_hang_up(
    run: Run, rabbitmq: RabbitMQ
) -> None:
    kill_again_and_again(run, "all workers", 1)
    kill_a_frozen_worker(run)
    pids = run.crew.pids
    run.suffer(rabbitmq_harms(run.place, rabbitmq, run.scale))
    assert run.crew.pids == pids
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
