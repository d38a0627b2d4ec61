import socket

import pytest
from kombu import Connection, Consumer, Exchange, Queue

from scripts.embedded import EmbeddedRedis
from tasks.app import app


@pytest.fixture
def consuming(own_redis: EmbeddedRedis) -> Connection:
    """A connection that listens for news, holds a message and waits for the next one, as a busy worker's does."""
    connection = Connection(own_redis.url, transport_options=app.conf.broker_transport_options)
    news = Queue("news", Exchange("news", type="fanout"), auto_delete=True)
    Consumer(connection.channel(), [news]).consume()
    queue = connection.SimpleQueue("numbers")
    queue.put(1)
    assert queue.get(timeout=5).payload == 1
    with pytest.raises(socket.timeout):
        connection.drain_events(timeout=0.2)
    return connection


def test_a_channel_that_lost_its_connection_is_closed_without_an_error(
    consuming: Connection, own_redis: EmbeddedRedis
) -> None:
    own_redis.kill()
    consuming.collect(socket_timeout=1)
    consuming.close()


def test_what_a_channel_held_goes_back_when_it_is_closed(
    consuming: Connection, own_redis: EmbeddedRedis
) -> None:
    consuming.close()
    with Connection(own_redis.url, transport_options=app.conf.broker_transport_options) as connection:
        assert connection.SimpleQueue("numbers").get(timeout=5).payload == 1
