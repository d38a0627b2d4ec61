from typing import Any

from kombu import Connection, Consumer, Exchange, Queue

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
