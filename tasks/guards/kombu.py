"""Guards against kombu 5.7: a Redis restart, a stray value or a limited Redis user would end a worker.

REMOVE each one when tests/integration/worker/test_worker_kombu_guards.py passes without it.
"""

import logging
from functools import cache
from queue import Empty
from typing import Any, Final

from kombu.transport import pyamqp, virtual
from kombu.transport import redis as transport
from kombu.transport.redis import Channel, PrefixedRedisPubSub, QoS
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, RedisError

from masterflow.tasks.guards import replace
from masterflow.tasks.guards.values import MOST_BYTES, short_message, shortening

_logger = logging.getLogger(__name__)

# What reading a value that is no message raises, from its JSON to its missing headers, and to a delivery tag
# that redis-py does not send.
_NO_MESSAGE = (ValueError, TypeError, AttributeError, KeyError, RecursionError, DataError)

# What makes a name a pattern to Redis.
_OF_PATTERNS: Final = frozenset("*?[\\")


def guard_torn_down_channels() -> None:
    """Let a channel that lost its connection say so in words that Celery recovers from.

    When Redis restarts under load, closing the old channel asks it for a new connection after
    `Channel.connection` is gone. The AttributeError of that ended or hung the worker in 4 of 6
    restarts; a connection error makes it connect again (23 of 23).
    """

    def guarded(original: Any) -> Any:
        def connection_parameters(channel: Any, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002
            if getattr(channel.connection, "client", None) is None:
                raise RedisConnectionError("The channel has lost its connection.")
            return original(channel, asynchronous)

        return connection_parameters

    replace(Channel, "_connparams", guarded)


def guard_stray_values() -> None:
    """Drop a value that is no message at all, instead of ending the worker over it."""

    def guarded(original: Any) -> Any:
        def read(channel: Any, **options: Any) -> Any:
            try:
                return original(channel, **options)
            except _NO_MESSAGE as error:
                if channel.closed:
                    raise
                _logger.error("Dropped a value in a queue that is no message: %r.", error)  # noqa: TRY400
                raise Empty from error

        return read

    replace(Channel, "_brpop_read", guarded)


def guard_lost_acknowledgements() -> None:
    """Let a message whose acknowledgement Redis did not hear give its place to the next one.

    kombu forgot it only after Redis had. When Redis restarted while a worker's hands were full, the worker
    went on waiting for room, without a connection, for ever: what is not asked for cannot find out that
    nobody is there. Remote control, which is off, had a second connection that told.
    """

    def guarded(original: Any) -> Any:
        def settle(qos: Any, delivery_tag: Any, *arguments: Any, **options: Any) -> None:
            try:
                original(qos, delivery_tag, *arguments, **options)
            except (RedisError, OSError):
                virtual.QoS.ack(qos, delivery_tag)
                raise

        return settle

    replace(QoS, "ack", guarded)
    replace(QoS, "reject", guarded)


def guard_large_values() -> None:
    """Read only the beginning of a value that is larger than any message, and pass over the rest.

    kombu and Celery make half a dozen copies of a message (714 MB of 100) before anyone can look at its
    size. What is left is a message without a task whose header says how large it was. What is not waited
    for, such as messages that dead workers held, is cut when it has been read.
    """

    def guarded(original: Any) -> Any:
        def connection_parameters(channel: Any, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002
            found = original(channel, asynchronous)
            # Whoever reads dead letters removes them by their whole value, over the other connections.
            kind = found["connection_class"]
            return {**found, "connection_class": shortening(kind)} if asynchronous else found

        return connection_parameters

    replace(Channel, "_connparams", guarded)
    module: Any = transport
    read = module.bytes_to_str
    module.bytes_to_str = lambda value: read(
        value if len(value) <= MOST_BYTES else short_message(value, len(value))
    )


def guard_held_messages() -> None:
    """Drop what somebody put among the messages that workers hold, instead of ending every worker over it.

    Each looks there every few seconds for what a dead one held, and gives it back to its queue.
    """

    def guarded(original: Any) -> Any:
        def restore(qos: Any, tag: Any, *arguments: Any, **options: Any) -> None:
            try:
                original(qos, tag, *arguments, **options)
            except _NO_MESSAGE as error:
                _logger.error("Dropped what was held and is no message: %r.", error)  # noqa: TRY400
                qos._remove_from_indices(tag).execute()  # noqa: SLF001  there is no other way to them

        return restore

    replace(QoS, "restore_by_tag", guarded)


@cache
def guard_named_codecs() -> None:
    """Leave a body from RabbitMQ as it came: py-amqp decodes it by whichever codec its sender names.

    That happens before anybody can look at it, and `punycode` takes hours over 3 MB.
    """

    def guarded(original: Any) -> Any:
        def make(channel: Any, *arguments: Any, **options: Any) -> None:
            original(channel, *arguments, **options)
            channel.auto_decode = False

        return make

    replace(pyamqp.Channel, "__init__", guarded)


def guard_subscriptions() -> None:
    """Subscribe to a channel by its name where kombu would subscribe to the same name as a pattern.

    Redis compares the pattern of PSUBSCRIBE with a user's channel patterns as text, so a user with
    `&enrichment:*` could not listen to `enrichment:/0.celery.pidbox`: the worker connected again and
    again, five times a second, and took no message.
    """

    def named(subscribe: str) -> Any:
        def guarded(original: Any) -> Any:
            def subscribe_to(pubsub: Any, *patterns: Any, **handlers: Any) -> Any:
                names = [one for each in patterns for one in ([each] if isinstance(each, str) else each)]
                is_by_name = names and not handlers and not _OF_PATTERNS.intersection("".join(names))
                return (
                    getattr(pubsub, subscribe)(*names)
                    if is_by_name
                    else original(pubsub, *patterns, **handlers)
                )

            return subscribe_to

        return guarded

    replace(PrefixedRedisPubSub, "psubscribe", named("subscribe"))
    replace(PrefixedRedisPubSub, "punsubscribe", named("unsubscribe"))
