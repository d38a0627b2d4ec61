import asyncio
import json
import shutil
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.signs import Held
from masterflow.domain.redis_keys import (
    ALIVE_KEY,
    COUNTERS_KEY,
    FLAG_KEY,
    KEY_PREFIX,
    NOTES_KEY,
    OUTBOXES_KEY,
    answers_key,
    queue_key,
)
from masterflow.repository.redis.client import RedisLink
from masterflow.repository.redis.gauges import WorkerGauges, read_gauges
from masterflow.repository.redis.holders import Holder, read_holders
from masterflow.repository.settings import RedisSettings
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.embedded.redis import redis_program
from masterflow.scripts.maintenance.broker_users import BrokerUser, redis_users, settings_of
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.tasks.enqueue import Awaited, ConfirmationInbox, QueueSettings, queue_lengths
from masterflow.tasks.queues import BACKFILL_QUEUE, DEAD_LETTER_QUEUE, ENRICHMENT_QUEUE
from masterflow.tracker.life.holdings import process_holdings
from masterflow.tracker.life.signs import Signs
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.debian import installed_program
from tests.support.servers.limited import overstepped

CREW, OTHER = "crew", "other"
DEBIAN_REDIS = Path("/usr/bin/redis-server")
FLOWCTL = Path(sys.executable).with_name("flowctl")


class Guarded:
    """A Redis that lets in who has a role, and what each role needs to know."""

    def __init__(self, admin_url: str, *, is_before_7: bool) -> None:
        self.admin_url = admin_url
        self.is_before_7 = is_before_7
        self.admin = Redis.from_url(admin_url, decode_responses=True)
        self.users: dict[str, BrokerUser] = {
            user.name: user for user in redis_users([CREW, OTHER], is_before_7=is_before_7)
        }
        for user in self.users.values():
            words = [user.name, "on", f">{user.password}", *user.rules]
            self.admin.execute_command("ACL", "SETUSER", *words)
        self.admin.execute_command("ACL", "LOG", "RESET")

    def settings(self, role: str) -> dict[str, str]:
        parts = urlsplit(self.admin_url)
        return settings_of(self.users[role], self.users.values(), host=f"{parts.hostname}:{parts.port}")

    def url(self, role: str) -> str:
        return self.settings(role)["REDIS_URL"]

    def client(self, role: str) -> "Redis":
        return Redis.from_url(self.url(role), decode_responses=True)


@pytest.fixture(params=["6.2", "7"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    is_packaged = request.param == "6.2"
    # PATH may lead to that of the package first.
    program = redis_program() if is_packaged else DEBIAN_REDIS
    if not program.exists():
        installed_program("redis-server", str(DEBIAN_REDIS))
    with EmbeddedRedis(tmp_path / "redis", program=program) as server:
        guarded = Guarded(server.url, is_before_7=is_packaged)
        assert guarded.admin.info("server")["redis_version"].startswith(request.param)
        yield guarded
        guarded.admin.close()


def gauges(url: str) -> WorkerGauges:
    async def read() -> WorkerGauges:
        link = RedisLink(RedisSettings.model_validate({"REDIS_URL": url}))
        try:
            return await read_gauges(link)
        finally:
            await link.close()

    return asyncio.run(read())


@pytest.mark.long("6.2")
def test_a_whole_chain_runs_with_a_user_for_each_role_and_none_oversteps(
    guarded: Guarded, database_url: str, tmp_path: Path, context: FlowContext
) -> None:
    places = {
        role: Workplace(tmp_path / role, database_url=database_url, redis_url=guarded.url(role))
        for role in ("worker", "beat", "flower", "operator")
    }
    crew = Workplace(
        tmp_path / CREW,
        database_url=database_url,
        redis_url=guarded.settings(CREW)["REDIS_URL"],
        CELERY_BROKER_URL=guarded.settings(CREW)["CELERY_BROKER_URL"],
    )
    flow_id, port = crew.new_flow(context), free_port()
    flower = ["flower", f"--port={port}", "--address=127.0.0.1"]
    with (
        places["worker"].worker(name="one"),
        places["beat"].celery("beat", "--loglevel", "INFO", ENRICHMENT_BACKFILL_INTERVAL_S="1"),
        SupervisedProcess(
            [FLOWCTL, *flower],
            env={**places["flower"].environment, "FLOWER_BASIC_AUTH": "a:b"},
            folder=tmp_path,
            log=tmp_path / "flower.log",
        ),
    ):
        inbox = ConfirmationInbox(crew.settings, "sender")
        batch_id = crew.publish([new_event(FlowRetried, context, flow_id)], context, sender_id="sender")
        awaited = [Awaited(batch_id, str(context.client_account_id), ("sender",), lambda _: None)]
        assert eventually(lambda: inbox.receive(awaited), timeout_s=20) == {"sender": [batch_id]}
        assert crew.row(flow_id)["retry_count"] == 1
        inbox.note_backlog({"events": 3, "bytes": 5, "lost": 0, "oldest_at": None})
        # What a flow without a row costs: parked, and set aside at the end.
        crew.publish([new_event(FlowRetried, context, uuid.uuid4())], context, sender_id="sender")
        eventually(lambda: gauges(guarded.url("status")).parked == 1, timeout_s=20)
        crew.put("no message at all")
        eventually(lambda: "dead:" in " ".join(gauges(guarded.url("status")).counters), timeout_s=20)
        seen = gauges(guarded.url("status"))
        assert (seen.counters["applied"], [it.events for it in seen.backlogs]) == (1, [3])
        assert "one@test" in seen.heartbeats
        eventually(lambda: "beat" in gauges(guarded.url("status")).heartbeats, timeout_s=20)
        assert seen.consumptions["one@test"].queues == (ENRICHMENT_QUEUE, BACKFILL_QUEUE)
        lengths = queue_lengths(QueueSettings.model_validate(guarded.settings("status")))
        assert lengths[DEAD_LETTER_QUEUE] == 1
        eventually(lambda: "Scheduler: Sending due task" in places["beat"].log.read_text(), timeout_s=20)
        eventually(lambda: 'worker_online{worker="one@test"} 1.0' in page(port, "/metrics"), timeout_s=30)
        # A message that a worker took and never acknowledged goes back to its queue.
        guarded.admin.config_resetstat()
        guarded.admin.zadd(f"{KEY_PREFIX}unacked_index", {"lost": 1})
        eventually(lambda: "cmdstat_watch" in guarded.admin.info("commandstats"), timeout_s=30)
        inbox.close()
    assert overstepped(guarded.admin_url) == set()


def page(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


OWN, OTHERS = answers_key(f"{CREW}.sender"), answers_key(f"{OTHER}.sender")
QUEUE, BACKFILL, DEAD = map(queue_key, (ENRICHMENT_QUEUE, BACKFILL_QUEUE, DEAD_LETTER_QUEUE))
PIDBOX = f"{KEY_PREFIX}/0.celery.pidbox"

REFUSED: dict[str, list[tuple[Any, ...]]] = {
    CREW: [
        ("LPUSH", QUEUE, "x"),
        ("HSET", OTHERS, "x", '{"applied": 1, "repeated": 0, "dead": 0}'),
        ("LPOP", QUEUE),
        ("LRANGE", QUEUE, 0, -1),
        ("HMGET", OTHERS, "x"),
        ("UNLINK", OTHERS),
        ("UNLINK", QUEUE),
        ("RPOP", QUEUE),
        ("SET", FLAG_KEY, "off"),
        ("HSET", COUNTERS_KEY, "applied", 0),
        ("HGETALL", OUTBOXES_KEY),
        ("SET", f"{KEY_PREFIX}attempt:x", '{"first_seen": 0, "tries": 99, "lost": 99}'),
        ("ZADD", NOTES_KEY, 1, "x"),
        ("DEL", OWN),
        ("PUBLISH", PIDBOX, "x"),
        ("SUBSCRIBE", f"{KEY_PREFIX}/0.celeryev"),
        ("SCAN", 0),
        ("KEYS", "*"),
        ("EVAL", "return 1", 0),
        ("CONFIG", "GET", "*"),
        ("FLUSHDB",),
        ("ACL", "LIST"),
        ("CLIENT", "LIST"),
        ("MONITOR",),
        ("HGETALL", f"{KEY_PREFIX}holds:of-another"),
        ("XADD", f"{KEY_PREFIX}told:a:b", "*", "message", "stop"),
    ],
    "publisher": [
        ("LPOP", QUEUE),
        ("LRANGE", QUEUE, 0, -1),
        ("DEL", QUEUE),
        ("EXPIRE", QUEUE, 1),
        ("SET", QUEUE, "x"),
        ("LPUSH", BACKFILL, "x"),
        ("LPUSH", DEAD, "x"),
        ("LPUSH", OWN, "x"),
        ("LPUSH", FLAG_KEY, "x"),
        ("PUBLISH", PIDBOX, "x"),
    ],
    "worker": [
        ("PUBLISH", PIDBOX, "x"),
        ("SUBSCRIBE", PIDBOX),
        ("GET", f"{KEY_PREFIX}cache:x"),
        ("KEYS", "*"),
        ("SCAN", 0),
        ("CONFIG", "SET", "maxmemory", 1),
        ("FLUSHDB",),
        ("GET", "another-application"),
    ],
    "beat": [("LPUSH", DEAD, "x"), ("RPOP", BACKFILL), ("PUBLISH", PIDBOX, "x"), ("SET", FLAG_KEY, "off")],
    "status": [
        ("HSET", f"{KEY_PREFIX}holds:of-another", "x", "x"),
        ("ZADD", ALIVE_KEY, 1, "x"),
        ("LRANGE", QUEUE, 0, -1),
        ("LPUSH", BACKFILL, "x"),
        ("LPUSH", DEAD, "x"),
        ("SET", QUEUE, "x"),
        ("SET", FLAG_KEY, "off"),
        ("HGETALL", f"{KEY_PREFIX}unacked_index"),
        ("PUBLISH", PIDBOX, "x"),
        ("LLEN", OWN),
    ],
    "flower": [
        ("LPUSH", QUEUE, "x"),
        ("LRANGE", QUEUE, 0, -1),
        ("PUBLISH", PIDBOX, "x"),
        ("LLEN", QUEUE),
        ("GET", FLAG_KEY),
    ],
    "operator": [("CONFIG", "GET", "*"), ("GET", "another-application"), ("FLUSHALL",)],
}


#: Before Redis 7, what a role may do with one of its keys it may do with each.
BEFORE_7: dict[str, set[tuple[Any, ...]]] = {
    CREW: {("DEL", OWN)},
    "status": {("LPUSH", BACKFILL, "x"), ("LPUSH", DEAD, "x"), ("SET", QUEUE, "x")},
}


def test_no_user_may_do_what_is_not_its_role(guarded: Guarded) -> None:
    guarded.admin.hset(OTHERS, "theirs", json.dumps({"applied": 1, "repeated": 0, "dead": 0}))
    guarded.admin.lpush(QUEUE, "a message of another tenant")
    for role, attempts in REFUSED.items():
        known = BEFORE_7.get(role, set()) if guarded.is_before_7 else set()
        with guarded.client(role) as client:
            for attempt in {*attempts} - known:
                with pytest.raises(NoPermissionError):
                    pytest.fail(f"{role} may {attempt}: {client.execute_command(*attempt)}")
    assert (guarded.admin.hlen(OTHERS), guarded.admin.llen(QUEUE)) == (1, 1)


def test_an_orchestrator_tells_which_flows_it_holds_and_the_api_reads_it(
    guarded: Guarded, context: FlowContext
) -> None:
    flow_id, other_id, runs = uuid.uuid4(), uuid.uuid4(), Runs()
    signs = Signs(QueueSettings.model_validate(guarded.settings(CREW)), f"{CREW}-1-0123abcd")
    process_holdings.renew()
    now = time.monotonic()
    for number, each in enumerate((flow_id, other_id)):
        process_holdings.now.hold(runs, HeldFlow(each, context, None, 1))
        signs.give(now + 5 * number)
        assert [one.sender_id for one in held(guarded.url("status"), each)] == [f"{CREW}-1-0123abcd"]
    process_holdings.now.release(flow_id, id(runs))
    signs.give(now + 10)
    assert held(guarded.url("status"), flow_id) == []
    process_holdings.renew()
    signs.close(for_good=True)
    assert held(guarded.url("status"), other_id) == []
    assert overstepped(guarded.admin_url) == set()


class Runs:
    """What holds flows here."""

    is_held = True

    def sign(self, flow: HeldFlow) -> Held:
        return Held(flow)


def held(url: str, flow_id: uuid.UUID) -> list[Holder]:
    async def read() -> list[Holder]:
        link = RedisLink(RedisSettings.model_validate({"REDIS_URL": url}))
        try:
            return (await read_holders(link)).of(flow_id)
        finally:
            await link.close()

    return asyncio.run(read())


def test_what_an_orchestrator_may_write_beside_its_own_spoils_only_notes(guarded: Guarded) -> None:
    with guarded.client(CREW) as client:
        client.hset(OUTBOXES_KEY, "other.sender", "[" * 100_000)
    assert gauges(guarded.url("status")).backlogs == []


def test_the_acl_file_is_one_that_redis_loads(guarded: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "users.acl"
    file.write_text("".join(f"{user.acl_line()}\n" for user in guarded.users.values()) + "user default off\n")
    shutil.copy(file, tmp_path / "copy")
    program = guarded.admin.info("server")["executable"]
    port, config = free_port(), tmp_path / "guarded.conf"
    config.write_text(f"bind 127.0.0.1\nport {port}\naclfile {file}\n")
    with SupervisedProcess([program, config], folder=tmp_path, log=tmp_path / "log", env={}):
        user = guarded.users["operator"]
        url = f"redis://{user.name}:{user.password}@127.0.0.1:{port}/0"
        with Redis.from_url(url) as client:
            eventually(lambda: _answers(client), timeout_s=20)
        with Redis.from_url(f"redis://127.0.0.1:{port}/0") as stranger:
            assert not _answers(stranger)


def _answers(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except Exception as error:  # noqa: BLE001  whatever keeps it from it
        return "NoPermission" in type(error).__name__
