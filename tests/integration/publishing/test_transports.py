import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from masterflow.domain.redis_keys import queue_key
from masterflow.tasks.enqueue import BrokerUnavailable, QueueSettings
from masterflow.tasks.publishing.messages import message_of
from masterflow.tasks.publishing.transports import KombuTransport, RedisTransport, Transport, transport_to
from masterflow.tasks.queues import APPLY_EVENTS, ENRICHMENT_QUEUE

_TAG = re.compile(rb'"delivery_tag": "([0-9a-f-]{36})"')


def settings_of(url: str, **others: str) -> QueueSettings:
    return QueueSettings.model_validate(
        {"CELERY_BROKER_URL": url, "REDIS_URL": "redis://localhost", **others}
    )


def sent(transport: Transport, client: "redis.Redis", *, events: str, shown: str) -> bytes:
    """Return what a transport puts into the queue."""
    kwargs = {"batch_id": str(UUID(int=1)), "sender_id": "ho\u00f6st-1", "events": events, "sent_at": 1}
    transport.send(message_of(APPLY_EVENTS, str(UUID(int=1)), kwargs, shown=shown))
    taken: Any = client.rpop(queue_key(ENRICHMENT_QUEUE))
    return bytes(taken)


@pytest.mark.parametrize(
    "events", ["[]", '[{"text": "\u00fc\u2028\\u0000\\ud83d\\ude00"}]', f'["{"x" * 9_000}"]']
)
@pytest.mark.parametrize("shown", ["()", "{'batch_id': '1', 'flows': ['\u00e9\"\\']}"])
def test_what_is_written_without_kombu_is_what_kombu_writes(redis_url: str, events: str, shown: str) -> None:
    settings = settings_of(redis_url)
    assert settings.broker.redis is not None
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        with (
            closing(RedisTransport(settings.broker.redis, settings)) as short,
            closing(KombuTransport(settings)) as long,
        ):
            texts = [sent(each, client, events=events, shown=shown) for each in (short, long)]
        assert client.keys() == []
    tags = [_TAG.findall(text)[0].decode() for text in texts]
    assert len({UUID(tag) for tag in tags}) == 2
    assert texts[0].replace(tags[0].encode(), tags[1].encode()) == texts[1]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pw@127.0.0.1:1/3",
        "redis://an%3Aa:pw@127.0.0.1:1/0",
        "rediss://127.0.0.1:1/0",
        "unix:///nowhere.sock",
    ],
)
def test_one_redis_needs_no_kombu(url: str) -> None:
    assert isinstance(transport_to(settings_of(url)), RedisTransport)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://127.0.0.1:1//",
        "redis://127.0.0.1:1/0;redis://127.0.0.1:2/0",
        "sentinel://127.0.0.1:1/0;sentinel://127.0.0.1:2/0",
    ],
)
def test_what_goes_on_to_another_server_is_left_to_kombu(url: str) -> None:
    assert isinstance(transport_to(settings_of(url, ENRICHMENT_SENTINEL_MASTER="m")), KombuTransport)


class Server:
    """Takes connections and what comes over them, and either ends them at once or never answers."""

    def __init__(self, *, ends: bool) -> None:
        self._ends = ends
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def count(self) -> int:
        return len(self._connections)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for each in self._connections:
            each.close()

    def _serve(self) -> None:
        while True:
            try:
                self._connections.append(self._socket.accept()[0])
            except OSError:
                return
            if self._ends:
                self._connections[-1].close()


@pytest.fixture(params=[True, False], ids=["a server that ends", "a server that hangs"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with closing(Server(ends=request.param)) as server:
        yield server


def test_a_server_that_does_not_answer_is_tried_once_and_briefly(server: Server) -> None:
    message = message_of(APPLY_EVENTS, str(uuid4()), {"events": "[]"}, shown="()")
    transport = transport_to(settings_of(server.url))
    for attempt in (1, 2):
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="took no message"):
            transport.send(message)
        assert time.monotonic() - began < 2
        assert server.count == attempt
    transport.close()


def test_a_server_that_refuses_the_message_says_why(redis_url: str) -> None:
    message = message_of(APPLY_EVENTS, str(uuid4()), {"events": "[]"}, shown="()")
    with (
        redis.Redis.from_url(redis_url) as client,
        closing(transport_to(settings_of(redis_url))) as transport,
    ):
        client.set(queue_key(ENRICHMENT_QUEUE), "somebody's")
        with pytest.raises(BrokerUnavailable, match="WRONGTYPE"):
            transport.send(message)
        client.delete(queue_key(ENRICHMENT_QUEUE))
        transport.send(message)
        [written] = client.lrange(queue_key(ENRICHMENT_QUEUE), 0, -1)
        assert json.loads(written)["headers"]["task"] == APPLY_EVENTS
        client.delete(queue_key(ENRICHMENT_QUEUE))
