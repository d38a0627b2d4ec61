import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest
from celery import Celery

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import KEY_PREFIX, NOTES_KEY
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.tasks.heartbeats import heartbeat_age_s, write_heartbeat
from masterflow.tasks.queues import APPLY_EVENTS, ENRICHMENT_QUEUE, transport_options
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.limited import limited_role

PROBE = """
import json, sys
from masterflow.tasks.health import beat_health, worker_health
for line in sys.stdin:
    what, *name = line.split()
    results = worker_health(*name) if what == "worker" else beat_health()
    print(json.dumps({result.name: result.problem for result in results}), flush=True)
"""


class Probe:
    """A process that asks for the health of others, as a monitor does."""

    def __init__(self, place: Workplace) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROBE],
            env=place.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=10)

    def problems(self, what: str) -> dict[str, str]:
        """Return what is wrong, by the name of what was looked at."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        return {name: problem for name, problem in found.items() if problem is not None}


def test_the_health_of_workers_is_what_a_probe_would_want_to_know(
    make_workplace: Callable[..., Workplace], own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis
) -> None:
    place = make_workplace(own_postgres.url)
    with place.worker(name="one") as worker, Probe(place) as probe:
        assert probe.problems("worker one@test") == {}
        assert probe.problems("worker two@test").keys() == {"heartbeat"}
        own_postgres.pause()
        assert probe.problems("worker one@test").keys() == {"database"}
        own_postgres.resume()
        own_postgres.stop()
        assert probe.problems("worker one@test").keys() == {"database"}
        own_redis.stop()
        assert probe.problems("worker one@test").keys() == {"broker", "database", "heartbeat", "consumption"}
        own_redis.start()
        own_postgres.start()
        eventually(lambda: probe.problems("worker one@test") == {}, timeout_s=30)
        worker.pause()
        place.redis.set(f"{KEY_PREFIX}heartbeat:one@test", "1000000000")
        found = probe.problems("worker one@test")
        worker.resume()
    assert found.keys() == {"heartbeat"}
    assert "restart it" in found["heartbeat"]


def test_a_worker_whose_role_may_not_do_its_work_is_told_so(
    make_workplace: Callable[..., Workplace], database_url: str
) -> None:
    master = "migration.crewai_flow_state_extensions"
    grants = ["grant usage on schema migration to {role}", f"grant select on {master} to {{role}}"]
    with limited_role(database_url, *grants) as role:
        place = make_workplace(role.url)
        with place.worker(name="one"), Probe(place) as probe:
            found = probe.problems("worker one@test")
            assert found.keys() == {"postgres rights"}
            assert "GRANT INSERT, UPDATE ON" in found["postgres rights"]
            role.run("grant select, insert, update on all tables in schema migration to {role}")
            assert probe.problems("worker one@test") == {}
            role.run(f"alter table {master} drop column error_history")
            assert "error_history" in probe.problems("worker one@test")["postgres tables"]


@pytest.mark.long("cancelled")
@pytest.mark.parametrize("how", ["kombu", "cancelled"])
def test_a_worker_that_lives_and_takes_no_messages_is_stuck(
    make_workplace: Callable[..., Workplace], context: FlowContext, tmp_path: Path, how: str
) -> None:
    place, file = make_workplace(), tmp_path / "stuck"
    flow_id = place.new_flow(context)
    with (
        place.worker("--include", "tests.support.processes.stuck_consumer", name="one", STUCK_FILE=str(file)),
        Probe(place) as probe,
    ):
        file.write_text(how)
        # Before, a worker would take all of them: it holds more than these.
        done = file.with_suffix(".done")
        eventually(lambda: done.exists() and done.read_text() == how)
        # The first ones still come, because the worker has asked Redis for them already.
        for _ in range(3):
            place.publish([new_event(FlowRetried, context, flow_id)], context)
        found = eventually(lambda: probe.problems("worker one@test"), timeout_s=30)
        assert "takes none of the messages that wait" in found["consumption"]
        # The doctor looks at all that live.
        assert "one@test" in doctor_on(place)["consumption"]["found"]
        file.unlink()
        eventually(lambda: place.row(flow_id)["retry_count"] == 3)
        assert probe.problems("worker one@test") == {}


def test_a_worker_whose_hands_are_full_is_not_stuck(
    make_workplace: Callable[..., Workplace], context: FlowContext
) -> None:
    place = make_workplace()
    flow_id = place.new_flow(context)
    with place.worker("--concurrency=1", "--prefetch-multiplier=1", name="one"), Probe(place) as probe:
        with place.database() as database, database.transaction():
            database.execute("select from migration.crewai_flow_state_extensions for update")
            for _ in range(3):
                place.publish([new_event(FlowRetried, context, flow_id)], context)
            eventually(lambda: place.redis.hlen(f"{KEY_PREFIX}unacked") == 1)
            assert probe.problems("worker one@test") == {}
        eventually(lambda: place.row(flow_id)["retry_count"] == 3)


def doctor_on(place: Workplace) -> dict[str, Any]:
    """Return what the doctor finds there, by name."""
    command: list[str | Path] = [Path(sys.executable).with_name("flowctl"), "doctor", "--json"]
    done = subprocess.run(
        command, env=place.environment, capture_output=True, text=True, check=False, timeout=60
    )
    return {result["name"]: result for result in json.loads(done.stdout)}


def broadcast(place: Workplace, command: str, **arguments: Any) -> Any:
    """Give the workers a command of Celery's, as whoever reaches the broker can; return what they answer."""
    stranger = Celery("stranger", broker=place.settings.broker_url, set_as_current=False)
    stranger.conf.broker_transport_options = transport_options(place.settings)
    with closing(stranger):
        return stranger.control.broadcast(command, reply=True, limit=1, timeout=2, arguments=arguments)


COMMANDS: dict[str, dict[str, Any]] = {
    "conf": {},
    "stats": {},
    "cancel_consumer": {"queue": ENRICHMENT_QUEUE},
    "add_consumer": {"queue": "of-a-stranger"},
    "rate_limit": {"task_name": APPLY_EVENTS, "rate_limit": "1/h"},
    "time_limit": {"task_name": APPLY_EVENTS, "hard": 0.001},
    "pool_grow": {"n": 100},
    "revoke": {"task_id": "any"},
    "shutdown": {},
}


def test_no_worker_obeys_whoever_reaches_the_broker(
    make_workplace: Callable[..., Workplace], context: FlowContext
) -> None:
    place = make_workplace()
    flow_id = place.new_flow(context)
    with place.worker(name="one") as worker:
        for command, options in COMMANDS.items():
            assert not broadcast(place, command, **options), command
        assert "pidbox" not in " ".join(place.channels())
        place.publish([new_event(FlowRetried, context, flow_id)], context)
        eventually(lambda: place.row(flow_id)["retry_count"] == 1)
        assert worker.is_running


@pytest.mark.long("false")
@pytest.mark.parametrize("remote_control", ["false", "true"])
def test_a_batch_whose_id_somebody_revokes_is_applied_all_the_same(
    make_workplace: Callable[..., Workplace], context: FlowContext, remote_control: str
) -> None:
    place = make_workplace(ENRICHMENT_REMOTE_CONTROL=remote_control)
    flow_id, batch_id = place.new_flow(context), str(uuid4())
    with place.worker(name="one"):
        if remote_control == "true":
            eventually(lambda: broadcast(place, "revoke", task_id=batch_id), timeout_s=30)
        else:
            assert not broadcast(place, "revoke", task_id=batch_id)
        place.publish([new_event(FlowRetried, context, flow_id)], context, batch_id=batch_id)
        eventually(lambda: place.row(flow_id)["retry_count"] == 1)


@pytest.mark.long("{}")
@pytest.mark.parametrize("keys", ["", "{}"])
def test_a_worker_without_signing_keys_says_so_once_when_it_starts(
    make_workplace: Callable[..., Workplace], keys: str
) -> None:
    place = make_workplace()
    with place.worker(name="one", ENRICHMENT_SIGNING_KEYS=keys):
        [line] = [it for it in place.log.read_text().splitlines() if "ENRICHMENT_SIGNING_KEYS" in it]
    assert ("WARNING" in line, "whoever reaches the broker can change any flow" in line) == (True, True)


def test_workers_ask_each_other_nothing_however_they_are_started(
    make_workplace: Callable[..., Workplace],
) -> None:
    place = make_workplace()
    options = ["--hostname", "one@test", "--loglevel", "INFO", "--concurrency", "1"]
    with place.celery("worker", *options):
        eventually(lambda: place.is_ready("one@test"), timeout_s=30)
        assert place.channels() == []
    assert "mingle" not in place.log.read_text()


@pytest.mark.long
def test_a_worker_that_is_to_obey_does_and_the_doctor_says_what_that_opens(
    make_workplace: Callable[..., Workplace],
) -> None:
    place = make_workplace(ENRICHMENT_REMOTE_CONTROL="true")
    with place.worker(name="one"):
        eventually(lambda: broadcast(place, "ping"))
        found = doctor_on(place)["remote control"]
    assert (found["level"], "end workers" in found["found"]) == ("warning", True)


def test_beat_shows_that_it_lives_and_leaves_no_file(make_workplace: Callable[..., Workplace]) -> None:
    place = make_workplace()
    with Probe(place) as probe:
        assert probe.problems("beat").keys() == {"heartbeat"}
        with place.celery("beat", "--loglevel", "INFO"):
            eventually(lambda: probe.problems("beat") == {}, timeout_s=30)
        assert [path.name for path in place.folder.iterdir()] == ["celery.log"]
        place.redis.set(f"{KEY_PREFIX}heartbeat:beat", "1000000000")
        assert "restart it" in probe.problems("beat")["heartbeat"]


def test_a_heartbeat_tells_its_age(make_workplace: Callable[..., Workplace]) -> None:
    place = make_workplace()
    assert heartbeat_age_s(place.redis, "one@test") is None
    write_heartbeat(place.redis, "one@test")
    age_s = heartbeat_age_s(place.redis, "one@test")
    assert age_s is not None
    assert 0 <= age_s < 5


def test_the_names_of_processes_long_gone_do_not_pile_up_in_redis(
    make_workplace: Callable[..., Workplace],
) -> None:
    place = make_workplace()
    place.redis.zadd(NOTES_KEY, {"heartbeat:long-gone@test": time.time() - 3_700})
    place.redis.zadd(NOTES_KEY, {"heartbeat:silent@test": time.time() - 3_500})
    write_heartbeat(place.redis, "one@test")
    names: Any = place.redis.zrange(NOTES_KEY, 0, -1)
    assert names == ["heartbeat:silent@test", "heartbeat:one@test"]
    left_s: Any = place.redis.ttl(NOTES_KEY)
    assert 0 < left_s <= 3_600


@pytest.mark.long
def test_a_worker_that_ends_says_goodbye_and_a_killed_one_leaves_its_heartbeat(
    make_workplace: Callable[..., Workplace],
) -> None:
    place = make_workplace()
    with place.worker(name="ended"):
        pass
    assert heartbeat_age_s(place.redis, "ended@test") is None
    with place.worker(name="killed") as worker:
        worker.kill()
    assert heartbeat_age_s(place.redis, "killed@test") is not None
