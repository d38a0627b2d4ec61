import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from amqp.exceptions import NotFound

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.supervise.supervisor import children, send
from masterflow.tasks.enqueue import BrokerUnavailable
from masterflow.tasks.queues import BACKFILL_QUEUE, DEAD_LETTER_QUEUE, ENRICHMENT_QUEUE
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database

pytestmark = pytest.mark.alone


class Site:
    """A workplace on RabbitMQ, with its worker and both servers."""

    def __init__(
        self, place: Workplace, worker: SupervisedProcess, rabbitmq: RabbitMQ, redis: EmbeddedRedis
    ) -> None:
        self.place = place
        self.worker = worker
        self.rabbitmq = rabbitmq
        self.redis = redis

    def retry(self, context: FlowContext, flow_id: UUID, *, sender_id: str = "") -> str:
        return self.place.publish([new_event(FlowRetried, context, flow_id)], context, sender_id=sender_id)

    def retries(self, flow_id: UUID) -> int:
        return int(self.place.row(flow_id)["retry_count"])

    def waiting(self, queue: str) -> int:
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        with self.place.connection() as connection, connection.channel() as channel:
            yield channel


@pytest.fixture(scope="module")
def site(
    postgres_server: str,
    database_template: str,
    server_folder: Path,
    debian_package: Callable[[str, str], Path],
) -> Iterator[Site]:
    debian_package("rabbitmq-server", "rabbitmq-server")
    folder = server_folder / f"site-{uuid4().hex}"
    with (
        temporary_database(postgres_server, template=database_template) as database_url,
        EmbeddedRedis(folder / "redis") as redis,
        RabbitMQ(folder / "rabbitmq") as rabbitmq,
    ):
        settings = {"CELERY_BROKER_URL": rabbitmq.url, "ENRICHMENT_FLOW_GRACE_S": "3"}
        place = Workplace(folder, database_url=database_url, redis_url=redis.url, **settings)
        with place.worker("--concurrency", "2") as worker:
            yield Site(place, worker, rabbitmq, redis)
    rabbitmq.remove()
    redis.remove()
    place.remove()


def test_a_batch_is_applied_and_confirmed(site: Site, context: FlowContext) -> None:
    flow_id, sender_id = site.place.new_flow(context), uuid4().hex
    site.retry(context, flow_id, sender_id=sender_id)
    assert eventually(lambda: site.place.confirmations(sender_id))[0]["applied"] == 1
    assert site.retries(flow_id) == 1


def test_the_events_of_an_unknown_flow_wait_and_then_become_a_dead_letter(
    site: Site, context: FlowContext
) -> None:
    early, never = uuid4(), uuid4()
    messages = [site.retry(context, flow_id) for flow_id in (early, never)]
    eventually(lambda: site.place.attempts(messages[0]))
    site.place.new_flow(context, early)
    eventually(lambda: site.retries(early) == 1)
    [letter] = eventually(lambda: [one for one in site.place.letters() if one.flow_id == str(never)])
    assert letter.reason == "flow_not_found"


def test_an_unknown_task_becomes_a_dead_letter(site: Site) -> None:
    site.place.put("[[], {}, {}]", headers={"task": "no.such", "id": "7"}, content_type="application/json")
    eventually(lambda: [letter for letter in site.place.letters() if letter.reason == "unknown_task"])


def test_a_batch_is_not_confirmed_before_its_dead_letters_are_kept(site: Site, context: FlowContext) -> None:
    sender_id = uuid4().hex
    with site.channel() as channel:
        channel.queue_delete(DEAD_LETTER_QUEUE)
        channel.queue_declare(DEAD_LETTER_QUEUE, durable=True, auto_delete=False)
    site.place.publish(['{"kind": "no event"}'], context, sender_id=sender_id)
    time.sleep(1.5)
    assert site.place.confirmations(sender_id) == []
    with site.channel() as channel:
        channel.queue_delete(DEAD_LETTER_QUEUE)
    assert eventually(lambda: site.place.confirmations(sender_id))[0]["dead"] == 1
    assert [letter.reason for letter in site.place.letters()] == ["invalid"]


def test_a_killed_child_gives_its_message_back(site: Site, context: FlowContext) -> None:
    flow_id = site.place.new_flow(context)
    with site.place.database() as database, database.transaction():
        database.execute("select from migration.crewai_flow_state_extensions for update")
        message_id = site.retry(context, flow_id)
        eventually(lambda: site.place.is_begun(message_id))
        send(children(site.worker.pid), signal.SIGKILL)
    eventually(lambda: site.retries(flow_id) == 1, timeout_s=15)
    eventually(lambda: site.place.attempts(message_id) == 2)


def test_without_redis_batches_are_applied_and_what_could_not_be_told_is_counted_later(
    site: Site, context: FlowContext
) -> None:
    flow_id, sender_id = site.place.new_flow(context), uuid4().hex
    before = site.place.counters()
    site.redis.stop()
    for _ in range(3):
        site.retry(context, flow_id, sender_id=sender_id)
    # Each batch waits for the Redis that is away, and a busy machine for its turn.
    eventually(lambda: site.retries(flow_id) == 3, timeout_s=60)
    eventually(lambda: site.place.log.read_text().count("is not confirmed yet") >= 3, timeout_s=60)
    site.redis.start()

    def is_counted() -> bool:
        site.retry(context, flow_id)
        return site.place.counters().get("unconfirmed", 0) == 3

    eventually(is_counted, timeout_s=60)
    assert site.place.counters()["applied"] > before.get("applied", 0) + 3
    assert site.place.confirmations(sender_id) == []


def test_a_worker_finds_a_restarted_broker_within_10_seconds(site: Site, context: FlowContext) -> None:
    flow_id = site.place.new_flow(context)
    site.rabbitmq.kill()
    site.rabbitmq.start()
    with contextlib.suppress(BrokerUnavailable):
        site.retry(context, flow_id)
    site.retry(context, flow_id)
    eventually(lambda: site.retries(flow_id))
    assert site.worker.is_running


def test_only_our_own_queues_are_declared_and_both_keep_what_they_hold(site: Site) -> None:
    assert site.waiting(BACKFILL_QUEUE) == 0
    with site.channel() as channel, pytest.raises(NotFound):
        channel.queue_declare("celery_delayed_0", passive=True)
    with site.channel() as channel:
        arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
        channel.queue_declare(ENRICHMENT_QUEUE, durable=True, auto_delete=False, arguments=arguments)
