import secrets
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from amqp.exceptions import AccessRefused
from kombu import Connection, Exchange, Producer

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.tasks.enqueue import (
    Awaited,
    BrokerUnavailable,
    ConfirmationInbox,
    QueueSettings,
    queue_lengths,
)
from masterflow.tasks.queues import (
    BACKFILL_QUEUE,
    DEAD_LETTER_QUEUE,
    ENRICHMENT_QUEUE,
    EVENTS_EXCHANGE,
    queue,
)
from masterflow.tasks.rights.rabbitmq import AMQP_ROLES, commands
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

# A busy machine takes ten seconds for each command of RabbitMQ.
pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]

FLOWCTL = Path(sys.executable).with_name("flowctl")


class Guarded:
    """A RabbitMQ with a user for each role."""

    def __init__(self, server: RabbitMQ) -> None:
        self.server = server
        self._passwords = {role: f"-{secrets.token_urlsafe(12)}" for role in AMQP_ROLES}
        for role, permissions in AMQP_ROLES.items():
            for command in commands(role, permissions, password=self._passwords[role]):
                server.control(*command)

    def url(self, role: str) -> str:
        parts = urlsplit(self.server.url)
        return f"amqp://{role}:{self._passwords[role]}@{parts.hostname}:{parts.port}//"


@pytest.fixture(scope="module")
def guarded(server_folder: Path, debian_package: Callable[[str, str], Path]) -> Iterator[Guarded]:
    debian_package("rabbitmq-server", "rabbitmq-server")
    with RabbitMQ(server_folder / f"guarded-{uuid.uuid4().hex}") as server:
        yield Guarded(server)
    server.remove()


@pytest.fixture
def place_of(
    guarded: Guarded, database_url: str, own_redis: EmbeddedRedis, tmp_path: Path
) -> Iterator[Callable[..., Workplace]]:
    made: list[Workplace] = []

    def make(role: str, **settings: str) -> Workplace:
        settings = {"CELERY_BROKER_URL": guarded.url(role), **settings}
        made.append(
            Workplace(tmp_path / role, database_url=database_url, redis_url=own_redis.url, **settings)
        )
        return made[-1]

    yield make
    for place in made:
        place.remove()


def test_a_whole_chain_runs_on_rabbitmq_with_a_user_for_each_role(
    guarded: Guarded, place_of: Callable[..., Workplace], context: FlowContext, tmp_path: Path
) -> None:
    crew, worker, beat = place_of("orchestrator"), place_of("worker"), place_of("beat")
    flow_id, port = crew.new_flow(context), free_port()
    event = new_event(FlowRetried, context, flow_id)
    # Before any worker has made the exchange, an orchestrator waits with its events, for it may not make it.
    with pytest.raises(BrokerUnavailable, match="ACCESS_REFUSED"):
        crew.publish([event], context, sender_id="sender")
    with (
        worker.worker(name="one"),
        beat.celery("beat", "--loglevel", "INFO", ENRICHMENT_BACKFILL_INTERVAL_S="1"),
        SupervisedProcess(
            [FLOWCTL, "flower", f"--port={port}", "--address=127.0.0.1"],
            env={**place_of("flower").environment, "FLOWER_BASIC_AUTH": "a:b"},
            folder=tmp_path,
            log=tmp_path / "flower.log",
        ),
    ):
        inbox = ConfirmationInbox(crew.settings, "sender")
        batch_id = crew.publish([event], context, sender_id="sender")
        awaited = [Awaited(batch_id, str(context.client_account_id), ("sender",), lambda _: None)]
        assert eventually(lambda: inbox.receive(awaited), timeout_s=20) == {"sender": [batch_id]}
        assert crew.row(flow_id)["retry_count"] == 1
        # What is no message at all is set aside.
        worker.put("no message")
        settings = QueueSettings.model_validate({"CELERY_BROKER_URL": guarded.url("status")})
        eventually(lambda: queue_lengths(settings)[DEAD_LETTER_QUEUE] == 1, timeout_s=20)
        with place_of("operator").dead_letters() as letters:
            assert letters.count() == 1
        eventually(lambda: "Sending due task" in beat.log.read_text(), timeout_s=20)
        eventually(lambda: 'worker_online{worker="one@test"} 1.0' in page(port), timeout_s=30)
        inbox.close()
    assert "ACCESS_REFUSED" not in worker.log.read_text() + beat.log.read_text()
    assert "ACCESS_REFUSED" not in (tmp_path / "flower.log").read_text()


def page(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def publish(channel: Any, exchange: str, key: str) -> None:
    Producer(channel).publish("x", exchange=exchange, routing_key=key, confirm_timeout=5)


ATTEMPTS: dict[str, Callable[[Any], Any]] = {
    "take": lambda channel: channel.basic_get(ENRICHMENT_QUEUE),
    "take letters": lambda channel: channel.basic_get(DEAD_LETTER_QUEUE),
    "purge": lambda channel: channel.queue_purge(ENRICHMENT_QUEUE),
    "delete": lambda channel: channel.queue_delete(ENRICHMENT_QUEUE),
    "make": lambda channel: channel.queue_declare("mine"),
    "send a run": lambda channel: publish(channel, "", BACKFILL_QUEUE),
    "send a letter": lambda channel: publish(channel, "", DEAD_LETTER_QUEUE),
    "send events": lambda channel: publish(channel, EVENTS_EXCHANGE, ENRICHMENT_QUEUE),
    "control": lambda channel: Exchange("celery.pidbox", "fanout", channel=channel, durable=False).declare(),
    "tell of workers": lambda channel: publish(channel, "celeryev", "worker.x"),
    "listen": lambda channel: channel.queue_bind("mine", "celeryev"),
}

MAY: dict[str, set[str]] = {
    "orchestrator": {"send events"},
    "status": set(),
    # Who sends to a queue by its name may send to any.
    "beat": {"send a run", "send a letter"},
    "flower": set(),
}


@pytest.mark.parametrize("role", MAY)
def test_no_user_of_rabbitmq_may_do_what_is_not_its_role(guarded: Guarded, role: str) -> None:
    with Connection(guarded.server.url) as admin, admin.channel() as channel:
        for name in (ENRICHMENT_QUEUE, BACKFILL_QUEUE, DEAD_LETTER_QUEUE):
            queue(name, guarded.server.url)(channel).declare()
        Exchange("celeryev", "topic", channel=channel).declare()
    allowed = set()
    for what, attempt in ATTEMPTS.items():
        with Connection(guarded.url(role), transport_options={"confirm_publish": True}) as connection:
            try:
                attempt(connection.channel())
                allowed.add(what)
            except AccessRefused:
                continue
    assert allowed == MAY[role]
