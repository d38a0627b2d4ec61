"""What somebody sends to Flower, who reaches the broker: it shows what workers send, and nothing else."""

import json
import time
import urllib.request
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Message, Producer

from masterflow.domain.events import FlowRetried, new_event
from masterflow.scripts import celery_commands
from masterflow.scripts.flower_events import MOST_BYTES, MOST_KNOWN, StrictReceiver, events_of
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.tasks.enqueue import QueueSettings
from masterflow.tasks.queues import transport_options
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

pytestmark = pytest.mark.alone


def beat(**fields: Any) -> dict[str, Any]:
    common = {"hostname": "one@test", "timestamp": time.time(), "clock": 1, "utcoffset": 0, "pid": 1}
    return {
        "type": "worker-heartbeat",
        **common,
        "freq": 2.0,
        "active": 0,
        "loadavg": [0.1, 0.2, 0.3],
        **fields,
    }


def task(**fields: Any) -> dict[str, Any]:
    return beat(**{"type": "task-received", "uuid": "x", "name": "x", **fields})


def bomb() -> bytes:
    """Return what unpacks to a thousand times its size."""
    packer, block = zlib.compressobj(9), b" " * 10_000_000
    return b"".join([packer.compress(block) for _ in range(30)]) + packer.flush()


HOSTILE: dict[str, Any] = {
    "no JSON": b"nonsense",
    "a number": 5,
    "nested deeply": b"[" * 100_000,
    "a field nested deeply": json.dumps(beat()).replace("0.1", "[" * 50 + "]" * 50).encode(),
    "no type": {"a": 1},
    "a type that is a list": beat(type=[1]),
    "a type of its own": beat(type="task-of-eve", uuid="x"),
    "a task without an id": beat(type="task-received"),
    "a host that is a list": beat(hostname=[1]),
    "a host with half a letter": json.dumps(beat(hostname="\ud800@x")).encode(),
    "a host that is immense": beat(hostname="x" * 100_000),
    "a clock that is a text": beat(clock="x"),
    "a clock that is immense": beat(clock=10**300),
    "a time that is none": b'{"type": "worker-heartbeat", "hostname": "x", "timestamp": NaN}',
    "a time that is a text": beat(timestamp="x"),
    "an offset that is a text": beat(utcoffset="x"),
    "a runtime that is a text": task(type="task-succeeded", runtime="x"),
    "a name that is a list": task(name=[1]),
    "an id that is a list": task(uuid=[1]),
    "too many at once": [beat()] * 1_000,
    "too large": beat(args="x" * MOST_BYTES),
    "one of many that is none": [beat(), 5],
}


def message_of(body: Any, **options: Any) -> Message:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    options = {"content_type": "application/json", "content_encoding": "utf-8", **options}
    return Message(body, headers=options.pop("headers", {}), **options)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_what_no_worker_sends_is_no_event(body: Any) -> None:
    assert events_of(message_of(body)) is None


def test_what_workers_send_is() -> None:
    sent = [beat(), task(args="()", kwargs="{}", eta=None, retries=0, runtime=None)]
    assert events_of(message_of(sent)) == sent
    assert events_of(message_of(sent[0])) == sent[:1]
    for options in ({"content_type": "application/data"}, {"content_encoding": "zip"}):
        assert events_of(message_of(sent, **options)) is None


def test_it_knows_so_many_names_and_no_more() -> None:
    receiver: Any = StrictReceiver.__new__(StrictReceiver)
    receiver._known = set()
    known = [receiver._is_known(beat(hostname=f"{number}@eve")) for number in range(MOST_KNOWN + 1)]
    assert known == [True] * MOST_KNOWN + [False]
    assert receiver._is_known(beat(hostname="5@eve"))


@pytest.fixture
def place(make_workplace: Callable[..., Workplace]) -> Workplace:
    return make_workplace(FLOWER_BASIC_AUTH="ann:secret")


@pytest.fixture
def flower(place: Workplace, tmp_path: Path) -> Iterator[tuple[SupervisedProcess, Callable[[str], str]]]:
    """A Flower as ours is run, and what asks it for a page."""
    port = free_port()
    command = celery_commands.flower(address="127.0.0.1", port=port)
    login = {"Authorization": f"Basic {b64encode(b'ann:secret').decode()}"}

    def ask(path: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=login)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read().decode())
        except OSError as error:
            return repr(error)

    log = tmp_path / "flower.log"
    with SupervisedProcess(command, env=place.environment, log=log, grace_s=10) as process:
        eventually(lambda: "celeryev" in " ".join(place.channels()), timeout_s=30)
        yield process, ask


def peak_mb(pid: int) -> int:
    [line] = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in each]
    return int(line.split()[1]) // 1024


def test_flower_shows_workers_whatever_else_is_sent(
    place: Workplace, flower: tuple[SupervisedProcess, Callable[[str], str]], tmp_path: Path
) -> None:
    process, ask = flower
    before, context = peak_mb(process.pid), new_context()
    settings = QueueSettings.model_validate({"REDIS_URL": place.settings.redis_url})
    options = transport_options(settings)
    with Connection(settings.broker_url, transport_options=options) as connection:
        producer = Producer(connection.channel(), exchange=Exchange("celeryev", type="fanout"))

        def send(body: Any, **message: Any) -> None:
            form = {"content_type": "application/json", "content_encoding": "utf-8", **message}
            body = body if isinstance(body, bytes) else json.dumps(body)
            producer.publish(body, routing_key="worker.heartbeat", **form)

        for body in HOSTILE.values():
            send(body)
        send(bomb(), headers={"compression": "application/x-gzip"})
        send(zlib.compress(b" " * 200_000_000), content_type="application/data", content_encoding="zip")
        send(task(uuid="shown", name="<script>alert(1)</script>", args="<img src=x onerror=alert(2)>"))
    with place.worker(name="honest"):
        place.publish([new_event(FlowRetried, context, place.new_flow(context))], context)
        eventually(lambda: 'task-succeeded",worker="honest@test"' in ask("/metrics"), timeout_s=30)
    assert peak_mb(process.pid) - before < 60
    for page in ("/workers", "/tasks", "/task/shown", "/metrics"):
        found = ask(page)
        assert "Error" not in found
        assert "<script>alert" not in found or page == "/metrics"
        assert "<img src=x" not in found
    log = (tmp_path / "flower.log").read_text()
    assert len(log) < 20_000
    assert "no events of workers, and are ignored" in log
