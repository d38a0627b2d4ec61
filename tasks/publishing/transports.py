"""Two ways to the broker: one command on a Redis, kombu's for all else."""

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final, Protocol
from uuid import uuid4

from kombu import Producer, Queue
from kombu.exceptions import KombuError
from redis import RedisError

from masterflow.domain.addresses import RedisAddress
from masterflow.domain.redis_keys import queue_key
from masterflow.tasks.broker import ANSWER_TIMEOUT_S, BrokerUnavailable, cause_of, client_of
from masterflow.tasks.publishing.messages import Message
from masterflow.tasks.queues import (
    ENRICHMENT_QUEUE,
    EVENTS_EXCHANGE,
    broker_connection,
    queue,
    speaks_amqp,
)
from masterflow.tasks.settings import QueueSettings

# AMQP's words for an exchange that is not there, and for one that leads nowhere.
_NO_WAY: Final = frozenset({404, 312})


class Transport(Protocol):
    """Hands messages to the queue of events over one connection that it renews; belongs to one thread."""

    def send(self, message: Message) -> None:
        """Hand a message over within about a second, trying once.

        Raises:
            BrokerUnavailable: the broker did not take it, or did not say so in time.
        """

    def close(self) -> None:
        """Close the connection without waiting for the broker."""


def transport_to(settings: QueueSettings) -> Transport:
    """Return the way to the broker that keeps the interpreter for the shortest time.

    A Sentinel, several addresses and RabbitMQ are kombu's, which knows when to go to the next server.
    """
    redis = settings.broker.redis
    if redis is None or redis.is_sentinel or ";" in settings.broker.url:
        return KombuTransport(settings)
    return RedisTransport(redis, settings)


class RedisTransport:
    """Writes what kombu would write, byte for byte, with a fifth of the work."""

    def __init__(self, address: RedisAddress, settings: QueueSettings) -> None:
        self._client = client_of(address, settings)
        self._key = queue_key(ENRICHMENT_QUEUE)

    def send(self, message: Message) -> None:
        """Hand a message over, as every transport does.

        Raises:
            BrokerUnavailable: the broker did not take it, or did not say so in time.
        """
        try:
            self._client.lpush(self._key, redis_text(message))
        except (RedisError, OSError) as error:
            self.close()
            raise BrokerUnavailable(f"The broker took no message ({cause_of(error)}).") from error

    def close(self) -> None:
        """Close the connection; the next message opens another one."""
        self._client.close()


def redis_text(message: Message) -> str:
    """Return a message as kombu keeps it in the list that is the queue of events."""
    return json.dumps(
        {
            "body": b64encode(message.body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": message.headers,
            "properties": {
                **message.properties,
                "delivery_info": {"exchange": "", "routing_key": ENRICHMENT_QUEUE},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    )


class KombuTransport:
    """Publishes through kombu, which knows every broker."""

    def __init__(self, settings: QueueSettings) -> None:
        self._connection = broker_connection(settings, timeout_s=ANSWER_TIMEOUT_S)
        self._producer = Producer(self._connection)
        self._queue = queue(ENRICHMENT_QUEUE, settings.broker_url)
        # A Redis has no exchanges, and a list once something is in it.
        is_amqp = speaks_amqp(settings.broker_url)
        route = {"exchange": EVENTS_EXCHANGE, "mandatory": True} if is_amqp else {}
        self._route: dict[str, Any] = {"routing_key": ENRICHMENT_QUEUE, **route}
        transport_errors = self._connection.connection_errors + self._connection.channel_errors
        self._errors: tuple[type[BaseException], ...] = (KombuError, OSError, *transport_errors)

    def send(self, message: Message) -> None:
        """Hand a message over, as every transport does.

        Raises:
            BrokerUnavailable: the broker did not take it, or did not say so in time.
        """
        try:
            self._hand_over(message)
        except self._errors as error:
            self._renew()
            raise BrokerUnavailable(f"The broker took no message ({cause_of(error)}).") from error

    def close(self) -> None:
        """Close the connection without waiting for the broker."""
        self._connection.collect()

    def _hand_over(self, message: Message, *, declared: Sequence[Queue] = ()) -> None:
        try:
            self._producer.publish(
                message.body,
                declare=[*declared],
                content_type="application/json",
                content_encoding="utf-8",
                headers=message.headers,
                retry=False,
                timeout=ANSWER_TIMEOUT_S,
                confirm_timeout=ANSWER_TIMEOUT_S,
                **self._route,
                **message.properties,
            )
        except self._errors as error:
            if declared or getattr(error, "reply_code", None) not in _NO_WAY:
                raise
            # No worker has made the exchange, or somebody deleted the queue; whoever may makes both.
            self._renew()
            self._hand_over(message, declared=[self._queue])

    def _renew(self) -> None:
        self._connection.collect()
        self._connection.maybe_switch_next()
        self._producer = Producer(self._connection)
