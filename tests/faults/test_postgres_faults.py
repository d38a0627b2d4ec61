from contextlib import closing

from scripts.embedded import EmbeddedPostgres
from tests.faults.checker import AS_IT_SHOULD_BE
from tests.faults.load import FLOWS, flow
from tests.faults.run import RECOVERY_S, Run


def do_harm(run: Run, postgres: EmbeddedPostgres, harm: str) -> None:
    match harm:
        case "crashes":
            postgres.restart_immediate()
        case "hangs":
            postgres.pause()
            run.scale.last(short_s=3, long_s=20)
            postgres.resume()
        case "ends all connections":
            with run.place.database() as database:
                database.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'enrichment-worker'"
                )
        case "has a row locked":
            hold_a_row(run)


def hold_a_row(run: Run) -> None:
    """Lock a flow's row for longer than a merge waits for it."""
    _, flow_id = flow(run.chance.randrange(FLOWS))
    query = "select from migration.crewai_flow_state_extensions where flow_id = %s for update"
    with closing(run.place.database()) as database, database.transaction():
        database.execute(query, [flow_id])
        run.scale.last(short_s=4, long_s=30)


def test_postgres_may_crash_hang_hang_up_and_be_locked(run: Run, own_postgres: EmbeddedPostgres) -> None:
    pids = run.crew.pids
    harms = ["crashes", "hangs", "ends all connections", "has a row locked"]
    harms += ["crashes"] * run.scale.times(1, 4) + ["ends all connections"] * run.scale.times(2, 9)
    for harm in run.shuffled(harms):
        with run.fault(f"Postgres {harm}"):
            do_harm(run, own_postgres, harm)
        run.crew.wait_until_all_consume(timeout_s=RECOVERY_S)
    assert run.crew.pids == pids
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
