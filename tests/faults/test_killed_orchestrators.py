from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.faults.harness.checker import AS_IT_SHOULD_BE
from tests.faults.harness.harms import postgres_harms, redis_harms
from tests.faults.harness.run import Run


def test_what_orchestrators_reported_that_are_killed_while_servers_fail_is_delivered_by_the_next_ones(
    run: Run, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis
) -> None:
    harms = redis_harms(run.place, own_redis, run.scale)
    harms += postgres_harms(run.place, own_postgres, run.scale, run.chance)
    if not run.scale.is_soak:
        harms = list({harm.name: harm for harm in harms}.values())
    run.suffer(harms, meanwhile=run.orchestrators.kill_one)
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
