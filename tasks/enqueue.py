"""The sending end of the queue: publish a batch, and hear which batches are committed."""

import uuid
from dataclasses import replace

from masterflow.domain.redis_keys import sender_name
from masterflow.tasks.batch import Batch, digest_of, sign
from masterflow.tasks.broker import ANSWER_TIMEOUT_S, BrokerUnavailable, cause_of, client_of, redis_client
from masterflow.tasks.confirmations import Awaited, ConfirmationInbox
from masterflow.tasks.control.requests import RequestMessage
from masterflow.tasks.guards.answers import AnswerTooLarge
from masterflow.tasks.publishing.messages import message_of
from masterflow.tasks.publishing.transports import transport_to
from masterflow.tasks.queues import (
    APPLY_EVENTS,
    APPLY_REQUEST,
    all_queues,
    broker_address,
    broker_connection,
    waiting,
)
from masterflow.tasks.settings import QueueSettings
from masterflow.tasks.shown_arguments import NOTHING, shown_batch

__all__ = [
    "AnswerTooLarge",
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


class Publisher:
    """Publishes batches over one connection, which it renews by itself; belongs to one thread.

    Each call ends within about a second, whatever the broker does: every wait has a limit and nothing
    is tried twice, because the caller has its own back-off.
    """

    def __init__(self, settings: QueueSettings) -> None:
        self.settings = settings
        self._username = settings.redis.username
        self._transport = transport_to(settings)

    def publish(self, batch: Batch) -> bytes | None:
        """Sign the batch as sent now if its account has a key, and hand it to the broker.

        Its confirmation has to prove that it is about the digest that this returns; None without a key.

        What raises BrokerUnavailable the broker did not take, or did not say so in time.
        """
        keys = self.settings.keys_of(batch.client_account_id)
        signed = sign(self._named(batch), keys)
        message = message_of(APPLY_EVENTS, batch.batch_id, signed.kwargs(), shown=shown_batch(batch))
        self._transport.send(message)
        return batch.digest if keys else None

    def ask(self, request: RequestMessage) -> None:
        """Sign what somebody asks of a flow, if there are keys, and hand it over; fails as `publish` does."""
        signed = request.signed(self.settings)
        self._transport.send(message_of(APPLY_REQUEST, str(uuid.uuid4()), signed.kwargs(), shown=NOTHING))

    def _named(self, batch: Batch) -> Batch:
        is_awaited = batch.sender_id != ""
        name = sender_name(self._username, batch.sender_id)
        return replace(batch, sender_id=name) if is_awaited else batch

    def close(self) -> None:
        """Close the connection without waiting for the broker."""
        self._transport.close()


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
