import subprocess
import sys
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from redis.exceptions import RedisError

from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.app import app


def test_a_busy_connection_that_lost_its_redis_is_closed_without_an_error(own_redis: EmbeddedRedis) -> None:
    connection = Connection(own_redis.url, transport_options=app.conf.broker_transport_options)
    queue = connection.SimpleQueue("numbers")
    # As in a worker, one channel holds a message and waits for the next one, and another listens for news.
    working: Any = connection.default_channel
    listening: Any = connection.channel()
    news = Queue("news", Exchange("news", type="fanout"), auto_delete=True)
    Consumer(listening, [news]).consume()
    queue.put(1)
    assert queue.get(timeout=5).payload == 1
    working._brpop_start()
    own_redis.kill()
    connection.collect(socket_timeout=1)
    connection.close()
    assert working.closed


@pytest.mark.parametrize("settle", ["ack", "reject", "requeue"])
def test_a_message_whose_acknowledgement_is_lost_takes_no_place_of_the_next_one(
    own_redis: EmbeddedRedis, settle: str
) -> None:
    connection = Connection(own_redis.url, transport_options=app.conf.broker_transport_options)
    queue = connection.SimpleQueue("numbers")
    channel: Any = connection.default_channel
    channel.basic_qos(0, 1, False)
    queue.put(1)
    message = queue.get(timeout=5)
    assert not channel.qos.can_consume()
    own_redis.kill()
    with pytest.raises((RedisError, OSError)):
        getattr(message, settle)()
    assert channel.qos.can_consume()
    connection.collect(socket_timeout=1)


TAKE_ONE = """
import sys
from kombu import Connection, Consumer, Queue
from masterflow.domain.errors import PermanentError
from masterflow.tasks.app import app
from masterflow.tasks.inbox.envelope import check_envelope, excerpt

def take(message):
    try:
        check_envelope(message)
    except PermanentError as error:
        print(error.reason, error)
        print(len(excerpt(message)))
    message.ack()

def largest_mb():
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024

before = largest_mb()
with Connection(sys.argv[1]) as connection, connection.channel() as channel:
    consumer = Consumer(channel, [Queue("large")], on_message=take)
    consumer.on_decode_error = lambda message, _: take(message)
    with consumer:
        connection.drain_events(timeout=30)
print(largest_mb() - before)
"""


def test_a_message_of_100_mb_costs_a_worker_hardly_any_memory_and_is_refused_as_too_large(
    own_redis: EmbeddedRedis,
) -> None:
    with Connection(own_redis.url) as connection, connection.channel() as channel:
        Queue("large").bind(channel).declare()
        connection.Producer(channel).publish(
            b"x" * 75_000_000, routing_key="large", content_type="application/json", content_encoding="utf-8"
        )
    done = subprocess.run(
        [sys.executable, "-c", TAKE_ONE, own_redis.url],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    refusal, excerpt_chars, extra_mb = done.stdout.splitlines()
    assert refusal.startswith("too_large The message has 100000")
    assert int(excerpt_chars) < 5_000
    assert int(extra_mb) < 20
