import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import redis
from amqp import AMQPError
from kombu import Connection

from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried
from masterflow.domain.signing.signer import Signer
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.tasks.batch import Batch
from masterflow.tasks.confirmations import write_confirmation
from masterflow.tasks.enqueue import Awaited, BrokerUnavailable, ConfirmationInbox, Publisher, QueueSettings
from masterflow.tasks.queues import ENRICHMENT_QUEUE, queue
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.process import process_delivery
from tests.support.eventually import eventually
from tests.support.processes.stub_worker import StubWorker
from tests.support.servers.sentinel import GROUP, Sentinel
from tests.support.servers.tls import TlsFront

pytestmark = pytest.mark.alone

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")


@pytest.fixture
def use_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., QueueSettings]]:
    """What lets this process report to other servers than the usual ones."""

    def use(**settings: str) -> QueueSettings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return QueueSettings()

    tracker.shutdown(0)
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setattr(process_delivery, "losses", Losses())
    yield use
    tracker.shutdown(0)


def say(count: int = 1) -> None:
    for _ in range(count):
        tracker.report(FlowRetried, CONTEXT, UUID(int=3))


def a_batch() -> Batch:
    return Batch(batch_id=str(uuid4()), sender_id="me", client_account_id=str(UUID(int=1)), events="[]")


# Redis over TLS


@pytest.fixture
def tls(own_redis: EmbeddedRedis, tmp_path: Path) -> Iterator[TlsFront]:
    with TlsFront(tmp_path, urlsplit(own_redis.url).port or 0) as front:
        yield front


def tls_url(server: EmbeddedRedis, front: TlsFront, query: str = "") -> str:
    return f"rediss://:{urlsplit(server.url).password}@127.0.0.1:{front.port}/0{query}"


def test_events_travel_over_tls(own_redis, tls, use_broker):
    use_broker(REDIS_URL=tls_url(own_redis, tls, f"?ssl_ca_certs={tls.certificate}"))
    with StubWorker(own_redis.url) as worker:
        say(3)
        assert tracker.flush(10)
    assert len(worker.event_ids) == 3
    tracker.shutdown(2)


def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(own_redis, tls, use_broker):
    settings = use_broker(REDIS_URL=tls_url(own_redis, tls))
    publisher, inbox = Publisher(settings), ConfirmationInbox(settings, "me")
    with pytest.raises(BrokerUnavailable, match=r"(?i)certificate"):
        publisher.publish(a_batch())
    with pytest.raises(BrokerUnavailable, match=r"(?i)certificate"):
        inbox.receive([Awaited.of(a_batch())])
    publisher.close()
    inbox.close()


# Redis behind Sentinel


@pytest.fixture
def sentinel(own_redis: EmbeddedRedis, tmp_path: Path) -> Iterator[Sentinel]:
    with Sentinel(tmp_path, own_redis.url) as sentinel:
        yield sentinel


def test_events_travel_to_the_master_that_sentinel_names(own_redis, sentinel, use_broker):
    use_broker(REDIS_URL=sentinel.url, ENRICHMENT_SENTINEL_MASTER=GROUP)
    with StubWorker(own_redis.url) as worker:
        say(3)
        assert tracker.flush(15)
    assert len(worker.event_ids) == 3
    tracker.shutdown(2)


# RabbitMQ


class Rabbit:
    """A RabbitMQ with the Redis that confirmations come back through."""

    def __init__(self, server: RabbitMQ, redis_url: str) -> None:
        self.server = server
        self.settings = {"CELERY_BROKER_URL": server.url, "REDIS_URL": redis_url}
        self._redis = redis.Redis.from_url(redis_url)

    def take(self) -> list[dict[str, Any]]:
        """Take all batches that wait and confirm them; return the tasks' arguments."""
        taken: list[dict[str, Any]] = []
        with suppress(AMQPError):  # After a restart the queue still elects its leader.
            self._take(taken)
        return taken

    def _take(self, taken: list[dict[str, Any]]) -> None:
        with Connection(self.server.url) as connection, connection.channel() as channel:
            waiting = queue(ENRICHMENT_QUEUE, self.server.url).bind(channel)
            waiting.declare()
            while message := waiting.get(accept=["json"]):
                taken.append(message.decode()[1])
                message.ack()
                write_confirmation(self._redis, Batch(**taken[-1]), Signer(), counts={"applied": 1})

    def close(self) -> None:
        self._redis.close()


@pytest.fixture(scope="module")
def rabbitmq(server_folder: Path, debian_package: Callable[[str, str], Path]) -> Iterator[RabbitMQ]:
    debian_package("rabbitmq-server", "rabbitmq-server")
    with RabbitMQ(server_folder / f"rabbitmq-{uuid4().hex}") as server:
        yield server
    server.remove()


@pytest.fixture
def rabbit(rabbitmq: RabbitMQ, redis_url: str, use_broker: Callable[..., QueueSettings]) -> Iterator[Rabbit]:
    rabbit = Rabbit(rabbitmq, redis_url)
    use_broker(**rabbit.settings)
    rabbit.take()
    yield rabbit
    rabbit.close()


def test_events_travel_through_rabbitmq_and_are_confirmed_through_redis(rabbit):
    say(700)
    taken = eventually(rabbit.take)
    while not tracker.flush(0.2):
        taken += rabbit.take()
    assert sum(batch["events"].count('"event_id"') for batch in taken) == 700


def test_a_rabbitmq_that_restarts_loses_nothing(rabbit):
    say()
    eventually(rabbit.take)
    rabbit.server.stop()
    say(3)
    rabbit.server.start()
    taken = eventually(rabbit.take, timeout_s=60)
    while not tracker.flush(0.2):
        taken += rabbit.take()
    assert sum(batch["events"].count('"event_id"') for batch in taken) >= 3


@pytest.mark.long
def test_a_rabbitmq_that_takes_no_messages_now_or_hangs_is_given_up_within_about_a_second(rabbit, use_broker):
    publisher = Publisher(use_broker())
    publisher.publish(a_batch())
    rabbit.server.control("set_vm_memory_high_watermark", "absolute", "1MB")
    for _ in range(2):
        assert refusal_s(publisher) < 2.0
    rabbit.server.control("set_vm_memory_high_watermark", "0.4")
    eventually(lambda: is_published(publisher))
    rabbit.server.pause()
    for _ in range(2):
        assert refusal_s(publisher) < 2.0
    rabbit.server.resume()
    eventually(lambda: is_published(publisher))
    publisher.close()


def refusal_s(publisher: Publisher) -> float:
    started_at = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        publisher.publish(a_batch())
    return time.monotonic() - started_at


def is_published(publisher: Publisher) -> bool:
    try:
        publisher.publish(a_batch())
    except BrokerUnavailable:
        return False
    return True
