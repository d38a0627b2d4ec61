from masterflow.scripts.embedded import EmbeddedRedis
from tests.faults.harness.checker import AS_IT_SHOULD_BE
from tests.faults.harness.harms import redis_harms
from tests.faults.harness.run import Run


def test_redis_may_die_hang_forget_and_hang_up(run: Run, own_redis: EmbeddedRedis) -> None:
    pids = run.crew.pids
    run.suffer(redis_harms(run.place, own_redis, run.scale))
    assert run.crew.pids == pids
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
