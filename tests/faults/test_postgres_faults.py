import pytest

from masterflow.scripts.embedded import EmbeddedPostgres
from masterflow.tasks.app import app
from tests.faults.harness.checker import AS_IT_SHOULD_BE
from tests.faults.harness.harms import postgres_harms
from tests.faults.harness.memory import memory_mb
from tests.faults.harness.run import Run
from tests.support.eventually import eventually

# Two workers with two children each.
_CHILDREN = 4
_MOST_HELD = _CHILDREN * app.conf.worker_prefetch_multiplier
_MOST_MORE_MB = 20


def test_postgres_may_crash_hang_hang_up_and_be_locked(run: Run, own_postgres: EmbeddedPostgres) -> None:
    pids = run.crew.pids
    run.suffer(postgres_harms(run.place, own_postgres, run.scale, run.chance))
    assert run.crew.pids == pids
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
    log = own_postgres.log.read_text()
    assert "canceling statement due to lock timeout" in log
    assert "canceling statement due to statement timeout" in log


@pytest.mark.long
@pytest.mark.brokers("redis")
def test_while_postgres_is_away_the_backlog_stays_in_the_broker_and_no_memory_grows(
    run: Run, own_postgres: EmbeddedPostgres
) -> None:
    pids = [process.pid for process in run.processes]
    with run.fault("Postgres away", within_s=5):
        own_postgres.stop()
        eventually(lambda: run.held() >= _CHILDREN)
        backlog, memory = run.waiting(), memory_mb(pids)
        eventually(lambda: run.waiting() > backlog + run.scale.times(20, 100), timeout_s=90, interval_s=0.1)
        assert run.held() <= _MOST_HELD
        assert memory_mb(pids) < memory + _MOST_MORE_MB
        own_postgres.start()
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
