"""Two guards against kombu 5.7, which lets a Redis restart or a stray value in a queue end a busy worker.

REMOVE each one when tests/integration/worker/test_worker_kombu_guards.py passes without it.
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

from masterflow.tasks.guards import replace

_logger = logging.getLogger(__name__)

# What reading a value that is no message raises, from its JSON to its missing headers.
_NO_MESSAGE = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


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
