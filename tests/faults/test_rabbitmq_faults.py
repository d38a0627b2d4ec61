import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.checker import AS_IT_SHOULD_BE
from tests.faults.kills import Victim, kill
from tests.faults.run import RECOVERY_S, Run
from tests.rabbitmq import RabbitMQ


@pytest.fixture
def rabbitmq(server_folder: Path, debian_package: Callable[[str, str], Path]) -> Iterator[RabbitMQ]:
    debian_package("rabbitmq-server", "rabbitmq-server")
    with RabbitMQ(server_folder / f"rabbitmq-{uuid.uuid4().hex}") as server:
        yield server
    server.remove()


def test_killed_workers_and_a_killed_rabbitmq_lose_nothing(
    start_run: Callable[..., Run], rabbitmq: RabbitMQ
) -> None:
    run = start_run(CELERY_BROKER_URL=rabbitmq.url)
    victims: list[Victim] = ["child", "parent", "frozen worker"]
    for victim in run.shuffled(victims * run.scale.times(1, 5)):
        kill(run, victim)
        run.crew.wait_until_all_consume()
    pids = run.crew.pids
    for _ in range(run.scale.times(1, 5)):
        with run.fault("RabbitMQ killed"):
            rabbitmq.kill()
            rabbitmq.start()
        run.crew.wait_until_all_consume(timeout_s=RECOVERY_S)
    assert run.crew.pids == pids
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
