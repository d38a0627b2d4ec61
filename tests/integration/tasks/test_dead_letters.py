import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from kombu import Connection, Producer
from pydantic import SecretStr

from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import queue_key
from masterflow.domain.signing.signer import Signer
from masterflow.scripts.embedded import EmbeddedRedis, EmbeddedServer
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.tasks.counters import read_counters
from masterflow.tasks.dead_letters.letters import DeadLetter, DeadLetters, Selection
from masterflow.tasks.enqueue import Batch, BrokerUnavailable, Publisher, QueueSettings, redis_client
from masterflow.tasks.queues import DEAD_LETTER_QUEUE, ENRICHMENT_QUEUE, queue, transport_options
from tests.support.events.flows import new_context
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

CONTEXT = new_context()
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


class Broker:
    """A broker and its store of dead letters."""

    def __init__(self, server: EmbeddedServer, redis_url: str) -> None:
        self.server = server
        self._values = {"REDIS_URL": redis_url, "CELERY_BROKER_URL": server.url}
        self.settings = QueueSettings.model_validate(self._values)

    def use_keys(self, **keys: Any) -> None:
        """Let whoever replays hold these keys from now on."""
        self.settings = QueueSettings.model_validate(self._values | keys)

    @contextmanager
    def letters(self, *, max_letters: int = 10_000) -> Iterator[DeadLetters]:
        options = transport_options(self.settings) | {"max_retries": 0, "confirm_publish": True}
        with Connection(self.settings.broker_url, connect_timeout=2, transport_options=options) as connection:
            yield DeadLetters(connection, max_letters=max_letters)

    def replay(self, letters: DeadLetters, selection: Selection) -> int:
        publisher, redis = Publisher(self.settings), redis_client(self.settings)
        try:
            return letters.replay(selection, publisher=publisher, redis=redis)
        finally:
            publisher.close()
            redis.close()

    def forget_everything(self) -> None:
        with redis_client(self.settings) as redis:
            redis.flushdb()
        with Connection(self.settings.broker_url) as connection, connection.channel() as channel:
            for name in (ENRICHMENT_QUEUE, DEAD_LETTER_QUEUE):
                queue(name, self.settings.broker_url).bind(channel).delete()

    def plant(self, *bodies: Any) -> None:
        """Put anything among the letters."""
        options = transport_options(self.settings)
        with (
            Connection(self.settings.broker_url, transport_options=options) as connection,
            connection.channel() as channel,
        ):
            for body in bodies:
                Producer(channel).publish(
                    body,
                    routing_key=DEAD_LETTER_QUEUE,
                    content_type="application/json",
                    content_encoding="utf-8",
                )
            if isinstance(self.server, EmbeddedRedis):
                with redis_client(self.settings) as redis:
                    redis.lpush(queue_key(DEAD_LETTER_QUEUE), *map(str, bodies))

    def sent_batches(self) -> list[dict[str, Any]]:
        """Take the batches that wait for a worker."""
        options = transport_options(self.settings)
        batches = []
        url = self.settings.broker_url
        with Connection(url, transport_options=options) as connection, connection.channel() as channel:
            bound = queue(ENRICHMENT_QUEUE, url).bind(channel)
            bound.declare()
            while (message := bound.get()) is not None:
                batches.append(message.payload[1])
                message.ack()
        return batches


@pytest.fixture(scope="module")
def rabbitmq(server_folder: Path, debian_package: Callable[[str, str], Path]) -> Iterator[RabbitMQ]:
    debian_package("rabbitmq-server", "rabbitmq-server")
    with RabbitMQ(server_folder / f"rabbitmq-{uuid4().hex}") as server:
        yield server
    server.remove()


@pytest.fixture(scope="module")
def redis(server_folder: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(server_folder / f"redis-{uuid4().hex}") as server:
        yield server
    server.remove()


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, redis: EmbeddedRedis) -> Iterator[Broker]:
    broker = Broker(request.getfixturevalue(request.param), redis.url)
    yield broker
    broker.forget_everything()


class CutOff(Exception):
    """Whoever sent the letters is gone."""


class HalfPublisher(Publisher):
    """A publisher whose process ends with the eighth batch."""

    published = 0

    def publish(self, batch: Batch) -> None:
        if self.published == 7:
            raise CutOff
        super().publish(batch)
        self.published += 1


def new_letter(*, flow_id: UUID | None = None, reason: str = "flow_not_found", minute: int = 0) -> DeadLetter:
    event = new_event(FlowRetried, CONTEXT, flow_id or uuid4())
    at = BEGIN + timedelta(minutes=minute)
    return DeadLetter(
        letter_id=uuid4(),
        reason=reason,
        error="No flow has this id.",
        event=event.model_dump(mode="json"),
        first_seen=at,
        last_seen=at,
        attempts=1,
        batch_id=str(uuid4()),
        sender_id="sender",
        client_account_id=str(CONTEXT.client_account_id),
    )


def hold(letters: DeadLetters, count: int) -> None:
    """Wait until there are so many: RabbitMQ puts back what was read only a moment later."""
    eventually(lambda: letters.count() == count)


def test_letters_are_listed_the_latest_first_and_stay(broker: Broker) -> None:
    written = [new_letter(minute=minute) for minute in (1, 3, 2)]
    with broker.letters() as letters:
        assert letters.put(written) == 0
        for _ in range(2):
            assert [letter.last_seen.minute for letter in letters.read()] == [3, 2, 1]
            hold(letters, 3)
        assert letters.read(limit=1) == [written[1]]
    with broker.letters() as letters:
        hold(letters, 3)


@pytest.mark.long("redis")
def test_every_one_of_many_letters_is_seen(broker: Broker) -> None:
    # RabbitMQ hands out 2,000 unless it is asked for more.
    many = [new_letter() for _ in range(2_200)]
    with broker.letters() as letters:
        letters.put(many)
        assert len(letters.read(limit=10_000)) == 2_200


def test_letters_are_selected_by_reason_flow_account_and_id(broker: Broker) -> None:
    one, two = new_letter(), new_letter(reason="invalid")
    with broker.letters() as letters:
        letters.put([one, two])
        for selection in (
            Selection(reason="invalid"),
            Selection(flow_id=two.flow_id),
            Selection(letter_id=two.letter_id),
            Selection(client_account_id=str(CONTEXT.client_account_id), reason="invalid"),
        ):
            assert letters.read(selection) == [two]
            hold(letters, 2)
        assert letters.read(Selection(client_account_id=str(uuid4()))) == []


def test_copies_of_a_letter_are_listed_as_one(broker: Broker) -> None:
    letter = new_letter(minute=5)
    later = letter.model_copy(update={"last_seen": BEGIN + timedelta(minutes=9), "attempts": 7})
    with broker.letters() as letters:
        letters.put([letter, later])
        [found] = letters.read()
        assert (found.first_seen.minute, found.last_seen.minute, found.attempts) == (5, 9, 7)
        hold(letters, 2)
        assert letters.drop(Selection(letter_id=letter.letter_id)) == 1
        hold(letters, 0)


def test_only_selected_letters_are_dropped(broker: Broker) -> None:
    kept = new_letter()
    with broker.letters() as letters:
        letters.put([new_letter(reason="invalid"), kept, new_letter(reason="invalid")])
        assert letters.drop(Selection(reason="invalid")) == 2
        hold(letters, 1)
        assert letters.read() == [kept]


def test_a_replay_sends_the_events_through_the_front_door(broker: Broker) -> None:
    flow_id = uuid4()
    letter = new_letter(flow_id=flow_id)
    with broker.letters() as letters:
        letters.put([letter, new_letter()])
        assert broker.replay(letters, Selection(flow_id=str(flow_id))) == 1
        hold(letters, 1)
    [batch] = broker.sent_batches()
    assert json.loads(batch["events"]) == [letter.event]
    assert (batch["sender_id"], batch["client_account_id"]) == ("", str(CONTEXT.client_account_id))
    assert batch["batch_id"] != letter.batch_id


ACCOUNT_KEYS = {"signing_keys": {CONTEXT.client_account_id: {"own": "o" * 16}}}
WORKER_KEYS = {"worker_keys": {"workers": "w" * 16}}


@pytest.mark.parametrize("keys", [ACCOUNT_KEYS, WORKER_KEYS, ACCOUNT_KEYS | WORKER_KEYS])
def test_with_keys_only_what_a_worker_vouches_for_is_sent_again(broker: Broker, keys: dict[str, Any]) -> None:
    broker.use_keys(**keys)
    settings, signer = broker.settings, Signer(broker.settings.keys_of(CONTEXT.client_account_id))
    vouched = new_letter().signed(settings, signer, is_verified=True)
    proof = vouched.proof
    assert proof is not None
    stranger = Signer({"own": SecretStr("x" * 16), "workers": SecretStr("x" * 16)})
    planted = [
        new_letter(),
        new_letter().model_copy(update={"proof": proof}),
        new_letter().model_copy(update={"proof": proof.model_copy(update={"by": "account"})}),
        vouched.model_copy(update={"letter_id": uuid4()}),
        new_letter().signed(QueueSettings(), stranger, is_verified=True),
        new_letter().signed(settings, signer, is_verified=False),
        # A copy of the genuine one, which says something else.
        vouched.model_copy(update={"event": new_letter().event}),
    ]
    with broker.letters() as letters:
        letters.put([vouched, *planted])
        assert broker.replay(letters, Selection()) == 1
        assert letters.refused.total() == len(planted) - 1
        hold(letters, len(planted) - 1)
    [batch] = broker.sent_batches()
    assert json.loads(batch["events"]) == [vouched.event]
    with redis_client(broker.settings) as client:
        assert read_counters(client)["forged:letter"] == len(planted) - 1


def test_a_letter_that_a_worker_signed_is_not_sent_without_keys(broker: Broker) -> None:
    broker.use_keys(**ACCOUNT_KEYS)
    signer = Signer(broker.settings.keys_of(CONTEXT.client_account_id))
    letter = new_letter().signed(broker.settings, signer, is_verified=True)
    broker.use_keys()
    with broker.letters() as letters:
        letters.put([letter])
        assert broker.replay(letters, Selection()) == 0
        assert letters.refused == {"the key it is signed with is not known here": 1}
        hold(letters, 1)
        assert letters.read() == [letter]


def test_junk_among_the_letters_hides_none_of_them(broker: Broker) -> None:
    letter = new_letter()
    junk: list[Any] = [b"\xff\xfe", "[" * 100_000, "5", '{"letter_id": 1}']
    with broker.letters() as letters:
        letters.put([letter])
        broker.plant(*junk)
        eventually(lambda: letters.count() >= 1 + len(junk))
        found = letters.read()
        assert letter in found
        assert {other.reason for other in found if other != letter} == {"unreadable"}


def test_what_is_no_event_is_not_replayed(broker: Broker) -> None:
    with broker.letters() as letters:
        letters.put([new_letter().model_copy(update={"event": {"excerpt": "[[[["}})])
        assert broker.replay(letters, Selection()) == 0
        hold(letters, 1)


def test_of_too_many_letters_the_oldest_go(broker: Broker) -> None:
    written = [new_letter(minute=minute) for minute in range(8)]
    with broker.letters(max_letters=5) as letters:
        assert letters.put(written[:4]) == 0
        assert letters.put(written[4:7]) == 2
        assert letters.put(written[7:]) == 1
        assert letters.read() == written[:2:-1]


def test_two_people_at_once_and_one_who_is_cut_off_lose_nothing(broker: Broker) -> None:
    written = [new_letter(minute=minute) for minute in range(20)]
    with broker.letters() as first, broker.letters() as second:
        first.put(written)
        half, redis = HalfPublisher(broker.settings), redis_client(broker.settings)
        with pytest.raises(CutOff):
            first.replay(Selection(), publisher=half, redis=redis)
        hold(second, 13)
        assert broker.replay(second, Selection()) == 13
        half.close()
        redis.close()
    sent = [json.loads(batch["events"])[0]["event_id"] for batch in broker.sent_batches()]
    assert sorted(sent) == sorted(str(letter.event["event_id"]) for letter in written)


@pytest.mark.long("rabbitmq")
def test_letters_survive_a_restart_of_the_broker(broker: Broker) -> None:
    letter = new_letter()
    with broker.letters() as letters:
        letters.put([letter])
    broker.server.restart()
    with broker.letters() as letters:
        assert letters.read() == [letter]


@pytest.mark.long("redis")
def test_a_broker_that_is_away_is_told_as_such_and_found_again(broker: Broker) -> None:
    letter = new_letter()
    with broker.letters() as letters:
        letters.put([letter])
        broker.server.stop()
        with pytest.raises(BrokerUnavailable):
            letters.put([letter])
        broker.server.start()
        assert letters.read() == [letter]


def test_a_message_that_is_no_letter_is_shown_as_one_that_is_unreadable(broker: Broker) -> None:
    letter = new_letter()
    options, url = transport_options(broker.settings), broker.settings.broker_url
    with Connection(url, transport_options=options) as connection, connection.channel() as channel:
        queue(DEAD_LETTER_QUEUE, url).bind(channel).declare()
        connection.Producer(channel).publish("{}", routing_key=DEAD_LETTER_QUEUE)
    with broker.letters() as letters:
        letters.put([letter])
        first, other = letters.read()
        assert (first, other.reason) == (letter, "unreadable")
        hold(letters, 2)
        letters.drop(Selection())
        hold(letters, 0)


def test_what_nobody_vouches_for_pushes_out_no_other_letter(broker: Broker) -> None:
    genuine = [new_letter(minute=minute) for minute in range(3)]
    with broker.letters(max_letters=8) as letters:
        assert letters.put(genuine) == 0
        # A stranger's: as often as he likes.
        for minute in range(10, 30):
            letters.put([new_letter(minute=minute)] * 5, is_vouched_for=False)
        assert letters.count() == 4
        assert letters.put([new_letter(minute=40)], is_vouched_for=False) == 1
        kept = letters.read()
        assert [one for one in kept if one in genuine] == genuine[::-1]
        # Of those which are vouched for, the newest still have all of the room.
        assert letters.put([new_letter(minute=minute) for minute in range(50, 56)]) == 2
