from collections.abc import Callable
from random import Random

import pytest

from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.embedded import EmbeddedRedis
from tests.faults.harness.checker import AS_IT_SHOULD_BE
from tests.faults.harness.run import Run
from tests.faults.harness.scale import Scale
from tests.faults.harness.shuffler import Shuffler
from tests.support.eventually import eventually
from tests.support.servers.guarded import ORCHESTRATOR, RoleUsers


def is_held_too_long(run: Run) -> bool:
    return run.place.redis.zcount(f"{KEY_PREFIX}unacked_index", 0, 0) > 0


def outlive_the_visibility_timeout(run: Run) -> None:
    """Hold up the merges until the messages they came in are delivered once more."""
    with run.place.database() as database, database.transaction():
        database.execute("select from migration.crewai_flow_state_extensions order by flow_id for update")
        eventually(lambda: run.place.redis.zcard(f"{KEY_PREFIX}unacked_index") >= 2)
        run.pass_the_visibility_timeout()
        eventually(lambda: not is_held_too_long(run), timeout_s=15)


@pytest.mark.brokers("redis")
def test_messages_twice_and_out_of_order_count_once(
    start_run: Callable[..., Run], own_redis: EmbeddedRedis, role_users: RoleUsers, scale: Scale
) -> None:
    proxy_url = own_redis.url.removesuffix("/0") + "/1"
    publishers_url = role_users.settings(proxy_url)[ORCHESTRATOR]["CELERY_BROKER_URL"]
    with Shuffler(proxy_url, own_redis.url, Random(scale.seed)):
        run = start_run(orchestrator_settings={"CELERY_BROKER_URL": publishers_url.removesuffix("/0") + "/1"})
        with run.fault("each message twice, out of order"):
            eventually(lambda: run.orchestrators.accepted > scale.events / 2, timeout_s=60)
        for _ in range(scale.times(1, 5)):
            with run.fault("visibility timeout passed during a merge"):
                outlive_the_visibility_timeout(run)
        assert run.finish() == AS_IT_SHOULD_BE
    # Of what travelled: of the snapshots in one message, only the newest does.
    counters = run.place.counters()
    assert counters["repeated"] > counters["applied"] / 2
    assert run.place.letters() == []
