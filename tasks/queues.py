"""The queues, declared once for whoever sends to them and whoever consumes them, and what waits in them."""

from importlib.metadata import version
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from kombu import Connection, Exchange, Queue, binding
from kombu.exceptions import VersionMismatch
from redis.backoff import NoBackoff
from redis.retry import Retry

from masterflow.domain import SettingsInvalid
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.tasks.settings import QueueSettings

#: The task that takes a batch of events.
APPLY_EVENTS: Final = "enrichment.apply_events"

#: The task that takes what somebody asked of a flow.
APPLY_REQUEST: Final = "enrichment.apply_request"

#: The task that catches up some flows with their children.
APPLY_CHUNK: Final = "backfill.apply_chunk"

ENRICHMENT_QUEUE: Final = "enrichment"
BACKFILL_QUEUE: Final = "backfill"
DEAD_LETTER_QUEUE: Final = "enrichment.dead"

#: The exchange of RabbitMQ that leads to the first queue alone: who may write to the default one, as every
#: queue is reached by, may write to any.
EVENTS_EXCHANGE: Final = "enrichment.events"

_REDIS_WAITS: Final = ("socket_timeout", "socket_connect_timeout")

# A quorum queue drops a message after so many deliveries (20 by default in RabbitMQ 4), and no event
# may vanish because Postgres was away for a while.
_QUORUM: Final = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


def speaks_amqp(broker_url: str) -> bool:
    """Return whether the broker is RabbitMQ rather than Redis."""
    return urlsplit(broker_url).scheme in ("amqp", "amqps")


def broker_address(settings: QueueSettings) -> str:
    """Return which broker this is, in one spelling and without user and password."""
    redis = settings.broker.redis
    if redis is None:
        return ";".join(sorted(map(_amqp_address, settings.broker.url.split(";"))))
    hosts = ",".join(sorted(f"{_host(host)}:{port}" for host, port in redis.hosts))
    if redis.is_sentinel:
        return f"sentinel://{hosts}/{redis.database} {settings.sentinel_master}"
    return f"redis://{hosts or redis.path}/{redis.database}"


def _amqp_address(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (5671 if parts.scheme == "amqps" else 5672)
    return f"amqp://{_host(parts.hostname or '')}:{port}/{unquote(parts.path[1:]) or '/'}"


def _host(name: str) -> str:
    return "localhost" if name in ("", "127.0.0.1", "::1") else name


def queue(name: str, broker_url: str) -> Queue:
    """Return one queue behind the default exchange, whose messages cannot lose their binding."""
    is_amqp = speaks_amqp(broker_url)
    own = [binding(Exchange(EVENTS_EXCHANGE, "direct"), routing_key=name)]
    return Queue(
        name,
        Exchange(""),
        routing_key=name,
        queue_arguments=_QUORUM if is_amqp else None,
        bindings=own if is_amqp and name == ENRICHMENT_QUEUE else [],
    )


def all_queues(broker_url: str) -> list[Queue]:
    """Return every queue of this project."""
    return [queue(name, broker_url) for name in (ENRICHMENT_QUEUE, BACKFILL_QUEUE, DEAD_LETTER_QUEUE)]


def broker_connection(settings: QueueSettings, *, timeout_s: float) -> Connection:
    """Return a connection that connects when it is used, tries once, and waits no longer for an answer.

    Raises:
        SettingsInvalid: the installed packages cannot reach this broker; the message says which.
    """
    waits = ("read_timeout", "write_timeout") if settings.broker.redis is None else _REDIS_WAITS
    limits = {**dict.fromkeys(waits, timeout_s), **_options_of_connections(settings), "max_retries": 0}
    connection = Connection(
        settings.broker.url,
        connect_timeout=timeout_s,
        ssl=transport_tls(settings) or False,
        transport_options={**transport_options(settings), **limits},
    )
    try:
        # What kombu finds out when it first connects, where it would look like a broker that is away.
        _ = connection.transport
    except VersionMismatch as error:
        raise SettingsInvalid(
            f"kombu {version('kombu')} cannot use this redis: {error}. Install a redis as it says, or"
            " `pip install 'kombu<5.5'` to keep an older one."
        ) from error
    return connection


def _options_of_connections(settings: QueueSettings) -> dict[str, Any]:
    if settings.broker.redis is None:
        return {"confirm_publish": True}
    return {"socket_keepalive": True, "health_check_interval": 10}


def transport_options(settings: QueueSettings) -> dict[str, Any]:
    """Return the transport options that both ends of a queue must share."""
    redis = settings.broker.redis
    if redis is None:
        return {}
    # Without patterns, all that workers tell of themselves goes over one channel, to which a Redis user who
    # is limited to our prefix may subscribe.
    options: dict[str, Any] = {"global_keyprefix": KEY_PREFIX, "fanout_patterns": False}
    if not redis.is_sentinel:
        return options
    return {
        **options,
        "master_name": settings.sentinel_master,
        "sentinel_kwargs": sentinel_waits(),
    }


def sentinel_waits() -> dict[str, Any]:
    """Return how to ask a Sentinel: briefly and once, because the next one is asked if it is away."""
    return {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}


def transport_tls(settings: QueueSettings) -> dict[str, Any] | None:
    """Return the TLS options of a rediss:// address, whose certificate kombu would not check by itself."""
    redis = settings.broker.redis
    return dict(redis.tls) if redis and redis.tls else None


def waiting(connection: Connection, queue_name: str) -> int:
    """Return how many messages of a queue no worker has taken yet; an error of the broker passes."""
    channel: Any
    with connection.channel() as channel:
        # On Redis declaring does nothing; asking passively fails there, for kombu 5.7 forgets the prefix.
        is_passive = speaks_amqp(connection.as_uri())
        return int(channel.queue_declare(queue_name, passive=is_passive).message_count)
