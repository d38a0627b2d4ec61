"""Clients of Redis that never wait long, and what is said when a broker or Redis is away."""

from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from masterflow.domain.addresses import RedisAddress
from masterflow.domain.errors import TransientError
from masterflow.tasks.guards.answers import bounded
from masterflow.tasks.queues import sentinel_waits
from masterflow.tasks.settings import QueueSettings

#: The longest wait for one answer of the broker. Without it a frozen Redis held `apply_async` for ever.
ANSWER_TIMEOUT_S: Final = 0.5


class BrokerUnavailable(TransientError):
    """The broker, or Redis behind it, is away or refuses for now; whether the message arrived is unknown."""

    reason = "broker_unavailable"


def redis_client(settings: QueueSettings) -> "redis.Redis":
    """Return a client of REDIS_URL, Sentinel included, that neither waits long nor tries twice."""
    return client_of(settings.redis, settings)


def client_of(address: RedisAddress, settings: QueueSettings) -> "redis.Redis":
    """Return such a client of any address; answers beyond all measure end their command."""
    options: dict[str, Any] = {
        **address.client_options,
        "decode_responses": True,
        # Others may write anything; what is no text proves nothing.
        "encoding_errors": "replace",
        "health_check_interval": 10,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": ANSWER_TIMEOUT_S,
        "socket_keepalive": True,
        "socket_timeout": ANSWER_TIMEOUT_S,
    }
    if not address.is_sentinel:
        return bounded(redis.Redis(**options))
    sentinel = Sentinel(address.hosts, sentinel_kwargs=sentinel_waits(), **options)  # type: ignore[no-untyped-call]
    return bounded(sentinel.master_for(settings.sentinel_master))  # type: ignore[no-untyped-call]


def cause_of(error: BaseException) -> str:
    """Return what an error is and says, cut."""
    return f"{type(error).__name__}: {error!s:.300}"
