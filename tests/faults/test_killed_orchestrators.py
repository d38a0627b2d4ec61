from scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from scripts.embedded.server import EmbeddedServer
from tests.faults.checker import AS_IT_SHOULD_BE
from tests.faults.run import Run


def kill_while(run: Run, server: EmbeddedServer, state: str) -> None:
    if state == "down":
        server.kill()
    else:
        server.pause()
    run.kill_an_orchestrator()
    run.scale.last(short_s=1, long_s=5)
    if state == "down":
        server.start()
    else:
        server.resume()


def test_what_killed_orchestrators_had_reported_is_delivered_by_the_next_ones(
    run: Run, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis
) -> None:
    places: list[tuple[EmbeddedServer, str]] = [
        (server, state) for server in (own_postgres, own_redis) for state in ("down", "hanging")
    ]
    for server, state in run.shuffled(places * run.scale.times(1, 5)):
        with run.fault(f"orchestrator killed, {server.name} {state}"):
            kill_while(run, server, state)
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
