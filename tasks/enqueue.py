"""The sending end of the queue: publish a batch, and hear which batches are committed."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from kombu import Producer, Queue
from kombu.exceptions import KombuError

from masterflow.domain.redis_keys import sender_name
from masterflow.tasks.batch import Batch, digest_of, sign
from masterflow.tasks.broker import ANSWER_TIMEOUT_S, BrokerUnavailable, cause_of, client_of, redis_client
from masterflow.tasks.confirmations import Awaited, ConfirmationInbox
from masterflow.tasks.control.requests import RequestMessage
from masterflow.tasks.messages import Message, message_of
from masterflow.tasks.queues import (
    APPLY_EVENTS,
    APPLY_REQUEST,
    ENRICHMENT_QUEUE,
    EVENTS_EXCHANGE,
    all_queues,
    broker_address,
    broker_connection,
    queue,
    speaks_amqp,
    waiting,
)
from masterflow.tasks.settings import QueueSettings
from masterflow.tasks.shown_arguments import NOTHING, shown_batch

__all__ = [
    "Awaited",
    "Batch",
    "BrokerUnavailable",
    "ConfirmationInbox",
    "Publisher",
    "QueueSettings",
    "RequestMessage",
    "broker_address",
    "client_of",
    "digest_of",
    "queue_lengths",
    "redis_client",
]

# AMQP's words for an exchange that is not there, and for one that leads nowhere.
_NO_WAY: Final = frozenset({404, 312})


class Publisher:
    """Publishes batches over one connection, which it renews by itself; belongs to one thread.

    Each call ends within about a second, whatever the broker does: every wait has a limit and nothing
    is tried twice, because the caller has its own back-off.
    """

    def __init__(self, settings: QueueSettings) -> None:
        self.settings = settings
        self._connection = broker_connection(settings, timeout_s=ANSWER_TIMEOUT_S)
        self._producer = Producer(self._connection)
        self._queue = queue(ENRICHMENT_QUEUE, settings.broker_url)
        # A Redis has no exchanges, and a list once something is in it.
        is_amqp = speaks_amqp(settings.broker_url)
        route = {"exchange": EVENTS_EXCHANGE, "mandatory": True} if is_amqp else {}
        self._route: dict[str, Any] = {"routing_key": ENRICHMENT_QUEUE, **route}
        transport_errors = self._connection.connection_errors + self._connection.channel_errors
        self._errors: tuple[type[BaseException], ...] = (KombuError, OSError, *transport_errors)

    def publish(self, batch: Batch) -> bytes | None:
        """Sign the batch as sent now if its account has a key, and hand it to the broker.

        Its confirmation has to prove that it is about the digest that this returns; None without a key.

        What raises BrokerUnavailable the broker did not take, or did not say so in time.
        """
        keys = self.settings.keys_of(batch.client_account_id)
        signed = sign(self._named(batch), keys)
        self._send(APPLY_EVENTS, batch.batch_id, signed.kwargs(), shown=shown_batch(batch))
        return batch.digest if keys else None

    def ask(self, request: RequestMessage) -> None:
        """Sign what somebody asks of a flow, if there are keys, and hand it over; fails as `publish` does."""
        signed = request.signed(self.settings)
        self._send(APPLY_REQUEST, str(uuid.uuid4()), signed.kwargs(), shown=NOTHING)

    def _send(self, task: str, message_id: str, kwargs: dict[str, Any], *, shown: str) -> None:
        message = message_of(task, message_id, kwargs, shown=shown)
        try:
            self._hand_over(message)
        except self._errors as error:
            self._renew()
            raise BrokerUnavailable(f"The broker took no message ({cause_of(error)}).") from error

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

    def _named(self, batch: Batch) -> Batch:
        is_awaited = batch.sender_id != ""
        name = sender_name(self.settings.redis.username, batch.sender_id)
        return replace(batch, sender_id=name) if is_awaited else batch

    def close(self) -> None:
        """Close the connection without waiting for the broker."""
        self._connection.collect()

    def _renew(self) -> None:
        self._connection.collect()
        self._connection.maybe_switch_next()
        self._producer = Producer(self._connection)


def queue_lengths(settings: QueueSettings) -> dict[str, int]:
    """Return how many messages wait in each queue, whatever the broker is; one that was never used has none.

    It blocks its thread, for about a second at most.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    lengths = {}
    with broker_connection(settings, timeout_s=ANSWER_TIMEOUT_S) as connection:
        for each in all_queues(settings.broker_url):
            try:
                lengths[each.name] = waiting(connection, each.name)
            except connection.channel_errors:
                lengths[each.name] = 0
            except connection.connection_errors as error:
                raise BrokerUnavailable(f"The broker does not answer ({cause_of(error)}).") from error
    return lengths
