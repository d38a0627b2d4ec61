import json
import resource
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection, Producer

from masterflow.domain.redis_keys import queue_key
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.tasks.dead_letters.letters import DeadLetter, DeadLetters, Selection
from masterflow.tasks.enqueue import QueueSettings, redis_client
from masterflow.tasks.queues import DEAD_LETTER_QUEUE, queue, transport_options
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

AT = datetime(2026, 11, 1, tzinfo=UTC)
GOOD = DeadLetter(
    letter_id=uuid4(),
    reason="flow_not_found",
    error="No flow has this id.",
    event={"kind": "flow_retried"},
    first_seen=AT,
    last_seen=AT,
    attempts=1,
    batch_id="",
    sender_id="",
    client_account_id="",
)
DEEP = "[" * 100_000
JSON = "application/json"


def bomb() -> bytes:
    """Return a body of about a megabyte that unpacks to a gigabyte."""
    packer = zlib.compressobj(9)
    block = b" " * 10_000_000
    return b"".join([packer.compress(block) for _ in range(100)]) + packer.flush()


MALFORMED = "The event is malformed"

# A body, how it is published, and what is said of it: what somebody may leave among the letters.
# What can be made a text is no letter by its own model; what cannot, or is too large, the store tells as one.
ODD: dict[str, Callable[[], tuple[bytes, dict[str, Any], str]]] = {
    "a bomb": lambda: (bomb(), {"headers": {"compression": "application/x-gzip"}}, "unpacks to more than"),
    "packed with something else": lambda: (
        b"BZh91AY",
        {"headers": {"compression": "application/x-bz2"}},
        "something else than zlib",
    ),
    "packed with nothing known": lambda: (b"x", {"headers": {"compression": "no-such"}}, "no-such"),
    "no json": lambda: (b"nonsense \x1b[2J password=hunter2", {}, MALFORMED),
    "no letter": lambda: (b'{"a": 1}', {}, MALFORMED),
    "deeply nested": lambda: (DEEP.encode(), {}, MALFORMED),
    "a deep event": lambda: (
        json.dumps(GOOD.model_dump(mode="json")).replace('"flow_retried"', DEEP).encode(),
        {},
        MALFORMED,
    ),
    "bad utf-8": lambda: (b"\xff\xfe{}", {}, "can't decode"),
    "oddly encoded": lambda: (b"{}", {"content_encoding": "no-such-codec"}, MALFORMED),
    "another type": lambda: (
        b"\x80\x04.",
        {"content_type": "application/x-python-serialize"},
        "can't decode",
    ),
    "large": lambda: (b'"' + b"x" * 5_000_000 + b'"', {}, "bytes"),
}


class Broker:
    """A broker and its store of dead letters."""

    def __init__(self, url: str, redis_url: str) -> None:
        values = {"REDIS_URL": redis_url, "CELERY_BROKER_URL": url}
        self.settings = QueueSettings.model_validate(values)

    def connection(self) -> Connection:
        options = transport_options(self.settings) | {"max_retries": 0, "confirm_publish": True}
        return Connection(self.settings.broker_url, connect_timeout=2, transport_options=options)

    @contextmanager
    def letters(self) -> Iterator[DeadLetters]:
        with self.connection() as connection:
            yield DeadLetters(connection, max_letters=1_000)

    def plant(self, body: bytes, *, content_type: str = JSON, **options: Any) -> None:
        encoding = options.pop("content_encoding", "binary")
        with self.connection() as connection, connection.channel() as channel:
            queue(DEAD_LETTER_QUEUE, self.settings.broker_url).bind(channel).declare()
            Producer(channel).publish(
                body,
                routing_key=DEAD_LETTER_QUEUE,
                content_type=content_type,
                content_encoding=encoding,
                **options,
            )

    def forget_everything(self) -> None:
        with redis_client(self.settings) as redis:
            redis.flushdb()
        with self.connection() as connection, connection.channel() as channel:
            queue(DEAD_LETTER_QUEUE, self.settings.broker_url).bind(channel).delete()


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
    broker = Broker(request.getfixturevalue(request.param).url, redis.url)
    yield broker
    broker.forget_everything()


def largest_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.long("rabbitmq")
@pytest.mark.parametrize("name", ODD)
def test_one_odd_element_costs_itself_only_and_can_be_listed_shown_and_dropped(
    broker: Broker, name: str
) -> None:
    body, options, told = ODD[name]()
    with broker.letters() as letters:
        letters.put([GOOD])
    broker.plant(body, **options)
    before = largest_bytes()
    with broker.letters() as letters:
        eventually(lambda: letters.count() == 2)
        found = {letter.reason: letter for letter in letters.read()}
        assert found["flow_not_found"] == GOOD
        odd = found["unreadable"]
        assert len(odd.model_dump_json()) < 20_000
        assert told in odd.error
        assert "excerpt" in odd.event
        assert "hunter2" not in odd.model_dump_json()
        eventually(lambda: letters.count() == 2)
        assert letters.read(Selection(letter_id=odd.letter_id)) == [odd]
        eventually(lambda: letters.count() == 2)
        assert letters.drop(Selection(letter_id=odd.letter_id)) == 1
    assert largest_bytes() - before < 200_000_000
    with broker.letters() as letters:
        eventually(lambda: letters.count() == 1)
        assert letters.read() == [GOOD]


@pytest.mark.parametrize(
    "value",
    [
        b"nonsense",
        b"{}",
        b"[]",
        b"null",
        b'{"body": 5}',
        DEEP.encode(),
        b"\xff",
        b'{"body": "%%", "properties": 3}',
    ],
)
def test_a_value_that_is_no_message_at_all_costs_itself_only(redis: EmbeddedRedis, value: bytes) -> None:
    broker = Broker(redis.url, redis.url)
    with broker.letters() as letters:
        letters.put([GOOD])
        with redis_client(broker.settings) as client:
            client.lpush(queue_key(DEAD_LETTER_QUEUE), value)
        assert {letter.reason for letter in letters.read()} == {"flow_not_found", "unreadable"}
        assert letters.drop(Selection(reason="unreadable")) == 1
        assert letters.read() == [GOOD]
    broker.forget_everything()
