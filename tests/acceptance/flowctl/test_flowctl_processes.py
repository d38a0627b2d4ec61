import base64
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import redis
from redis import Redis

from masterflow.domain.events import ErrorOccurred, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database
from tests.support.servers.limited import limited_redis_url, overstepped

FLOWCTL = Path(sys.executable).with_name("flowctl")
WORKER = f"tested@{socket.gethostname()}"


@pytest.fixture(scope="module")
def limited_redis(server_folder):
    """A Redis whose user may do what docs/operations.md lists and nothing else; the address of its admin."""
    with EmbeddedRedis(server_folder / "redis-limited") as server:
        yield server.url
    server.remove()


@pytest.fixture(scope="module")
def place(tmp_path_factory, postgres_server, database_template, limited_redis):
    """The settings of worker, beat and Flower, the port of Flower, and the folder with what they say."""
    folder = tmp_path_factory.mktemp("flowctl")
    port = free_port()
    # A folder with packages that are called like ours, and that must not be taken for them.
    for name in ("tasks.py", "celeryconfig.py", "domain.py"):
        (folder / name).write_text("raise SystemExit('not this one')\n")
    with temporary_database(postgres_server, template=database_template) as url, ExitStack() as stack:
        redis_url = limited_redis_url(limited_redis)
        settings = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "REDIS_URL": redis_url}
        options = {
            "worker": ["--concurrency=1", f"--hostname={WORKER}"],
            "beat": [],
            "flower": [f"--port={port}"],
        }
        for name in options:
            log = folder / f"{name}.log"
            stack.enter_context(
                SupervisedProcess([FLOWCTL, name, *options[name]], env=settings, folder=folder, log=log)
            )
        yield settings, port, folder


def flowctl(settings, *arguments, folder=None):
    command = [FLOWCTL, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def test_worker_and_beat_start_and_are_well(place):
    settings, _, folder = place
    with redis.Redis.from_url(settings["REDIS_URL"]) as client:
        for name in (WORKER, "beat"):
            eventually(partial(client.exists, f"{KEY_PREFIX}heartbeat:{name}"), timeout_s=60)
    code, said, _ = flowctl(settings, "health", "worker", "--name", WORKER, "--json")
    looked_at = ("broker", "database", "postgres rights", "redis rights", "heartbeat", "consumption")
    assert json.loads(said) == dict.fromkeys(looked_at, "ok")
    assert code == 0
    code, said, _ = flowctl(settings, "health", "beat", folder=folder)
    assert code == 0
    assert said.count("well") == 2


def test_flower_shows_the_worker_to_whoever_knows_the_password_and_obeys_nobody(place):
    _, port, folder = place
    eventually(lambda: status_of(port, "/healthcheck") == 200, timeout_s=30)
    login = ":".join(login_of(folder))
    assert status_of(port, "/") == 401
    assert status_of(port, "/", login="flower:wrong") == 401
    assert status_of(port, "/", login=login) == 200
    assert status_of(port, f"/api/worker/shutdown/{WORKER}", login=login, method="POST") == 403


PAYLOAD = "a-word-of-the-payload"
HOLD_ROW = "select 1 from migration.crewai_flow_state_extensions where flow_id = %s for update"


@pytest.fixture
def desk(place):
    """Where events and tasks are sent to the worker."""
    settings, _, folder = place
    desk = Workplace(folder / "desk", database_url=settings["DATABASE_URL"], redis_url=settings["REDIS_URL"])
    yield desk
    desk.remove()


def test_flower_shows_sizes_and_flows_and_never_a_payload(place, desk):
    settings, port, folder = place
    eventually(lambda: status_of(port, "/healthcheck") == 200, timeout_s=30)
    read = partial(page, port, login=":".join(login_of(folder)))
    context, failed = new_context(), partial(new_event, ErrorOccurred, phase="data_import", error=PAYLOAD)
    flows = [str(desk.new_flow(context)) for _ in range(2)]
    with desk.database() as database, database.transaction():
        database.execute(HOLD_ROW, [flows[0]])
        events = [failed(context=context, flow_id=flow_id) for flow_id in (*flows, flows[0])]
        batch_id = desk.publish(events, context)
        fields = context.model_dump(mode="json") | {"phase": "data_import", "error": PAYLOAD}
        named_id = desk.send_task("enrichment.add_error_entry", flow_id=flows[1], **fields)
        # While the batch waits for its row, Flower has heard of it.
        eventually(lambda: batch_id in read("/api/tasks"), timeout_s=30, interval_s=0.5)
        held = read("/api/tasks")
    code, _, _ = flowctl(settings, "backfill", "--flow", flows[0], "--flow", flows[1])
    assert code == 0
    eventually(lambda: read("/api/tasks").count("SUCCESS") >= 3, timeout_s=30)
    tasks = json.loads(read("/api/tasks"))
    shown = {(task["name"], task["args"], task["kwargs"]) for task in tasks.values()}
    batch = f"{{'batch_id': '{batch_id}', 'events': 3, 'flows': ['{flows[0]}', '{flows[1]}']}}"
    assert {
        ("enrichment.apply_events", "()", batch),
        ("enrichment.add_error_entry", "()", f"{{'flow_id': '{flows[1]}'}}"),
        ("backfill.apply_chunk", "()", "{'flows': 2}"),
    } <= shown
    assert batch in json.loads(held)[batch_id]["kwargs"]
    assert WORKER in read("/workers?json=1")
    paths = (
        "/api/tasks",
        "/tasks",
        "/workers",
        f"/task/{batch_id}",
        f"/task/{named_id}",
    )
    assert all(PAYLOAD not in text for text in (held, *map(read, paths)))


def test_flower_is_not_seen_from_outside_and_no_process_list_shows_its_password(place):
    _, port, folder = place
    eventually(lambda: status_of(port, "/healthcheck") == 200, timeout_s=30)
    _, password = login_of(folder)
    commands = "\n".join(map(command_of, Path("/proc").glob("[0-9]*")))
    assert f"--address=127.0.0.1 --port={port}" in commands
    assert password not in commands
    assert listeners(port) == ["127.0.0.1"]


def test_worker_beat_and_flower_do_nothing_in_redis_that_the_page_does_not_allow(place, limited_redis, desk):
    settings, port, folder = place
    eventually(lambda: status_of(port, "/healthcheck") == 200, timeout_s=30)
    read = partial(page, port, login=":".join(login_of(folder)))
    # What workers tell of themselves reaches Flower over a channel.
    eventually(lambda: f'worker_online{{worker="{WORKER}"}} 1.0' in read("/metrics"), timeout_s=30)
    with Redis.from_url(limited_redis) as admin:
        # A message that a worker took and never acknowledged goes back to its queue.
        admin.config_resetstat()
        admin.zadd(f"{KEY_PREFIX}unacked_index", {"lost": 1})
        eventually(lambda: "cmdstat_watch" in admin.info("commandstats"), timeout_s=30)
    assert "redis rights" in flowctl(settings, "doctor")[1]
    assert overstepped(limited_redis) == set()


def test_flower_takes_the_password_it_is_given_and_remembers_so_many_tasks(place, tmp_path):
    settings, _, _ = place
    port, log, login = free_port(), tmp_path / "flower.log", "ann:a password of hers"
    settings = settings | {"FLOWER_BASIC_AUTH": login}
    with SupervisedProcess(
        [FLOWCTL, "flower", f"--port={port}"], env=settings, folder=tmp_path, log=log
    ) as flower:
        eventually(lambda: status_of(port, "/healthcheck") == 200, timeout_s=30)
        assert status_of(port, "/", login=login) == 200
        assert status_of(port, "/", login="flower:a password of hers") == 401
        assert "a password of hers" not in log.read_text()
        assert "--read-only --max-tasks=10000" in command_of(Path(f"/proc/{flower.pid}"))


def test_a_port_in_use_is_told_in_one_sentence(place):
    settings, _, _ = place
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said, complaint = flowctl(settings, "flower", "--port", str(taken.getsockname()[1]))
    assert (code, said) == (2, "")
    assert complaint.endswith("(Address already in use); name another.\n")


def test_a_worker_without_a_database_url_does_not_start(place):
    settings, _, _ = place
    code, said, complaint = flowctl(settings | {"DATABASE_URL": ""}, "worker")
    assert (code, said) == (2, "")
    assert complaint == "Set DATABASE_URL to postgresql+psycopg://user:password@host:5432/database.\n"


def command_of(process):
    try:
        return (process / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def listeners(port):
    """Return the addresses at which somebody listens on a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    places = [place.split(":") for _, place, _, state, *_ in rows if state == "0A"]
    return [socket.inet_ntoa(bytes.fromhex(host)[::-1]) for host, number in places if int(number, 16) == port]


def login_of(folder):
    """Return the user and the password that `flowctl flower` printed."""
    [login] = re.findall(r"user '(.+)' with the password '(.+)'", (folder / "flower.log").read_text())
    return login


def page(port, path, *, login):
    """Return what a page of Flower says."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def status_of(port, path, *, login="", method="GET"):
    """Return the HTTP status of a page, or None while nobody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None
