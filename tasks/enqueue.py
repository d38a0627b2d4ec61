"""The sending end of the queue: publish a batch, and hear which batches are committed."""

import json
import logging
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import redis
from celery import Celery
from kombu import Producer
from kombu.exceptions import KombuError
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from masterflow.domain.addresses import RedisAddress
from masterflow.domain.errors import TransientError
from masterflow.domain.redis_keys import OUTBOX_NOTE, confirmations_key, missing_rows_key
from masterflow.tasks.batch import Batch, sign
from masterflow.tasks.control.requests import RequestMessage
from masterflow.tasks.heartbeats import leave_note
from masterflow.tasks.queues import (
    APPLY_EVENTS,
    APPLY_REQUEST,
    ENRICHMENT_QUEUE,
    all_queues,
    broker_address,
    broker_connection,
    queue,
    sentinel_waits,
    waiting,
)
from masterflow.tasks.settings import QueueSettings
from masterflow.tasks.shown_arguments import NOTHING, shown_batch

__all__ = [
    "Batch",
    "BrokerUnavailable",
    "ConfirmationInbox",
    "Publisher",
    "QueueSettings",
    "RequestMessage",
    "broker_address",
    "queue_lengths",
    "redis_client",
]

#: The longest wait for one answer of the broker. Without it a frozen Redis held `apply_async` for ever.
_ANSWER_TIMEOUT_S: Final = 0.5

_MOST_CONFIRMATIONS: Final = 500
_MOST_LOGGED_FLOWS: Final = 10_000
_BACKLOG_KEPT_S: Final = 60

# Events compress to a tenth. It happens outside the interpreter's lock, and spares more time in there
# than it takes, besides the broker's memory.
_COMPRESSION_CHARS: Final = 4_000


_logger = logging.getLogger(__name__)


class BrokerUnavailable(TransientError):
    """The broker, or Redis behind it, is away or refuses for now; whether the message arrived is unknown."""

    reason = "broker_unavailable"


class Publisher:
    """Publishes batches over one connection, which it renews by itself; belongs to one thread.

    Each call ends within about a second, whatever the broker does: every wait has a limit and nothing
    is tried twice, because the caller has its own back-off.
    """

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._keys = settings.signing_keys
        self._connection = broker_connection(settings, timeout_s=_ANSWER_TIMEOUT_S)
        self._producer = Producer(self._connection)
        self._queue = queue(ENRICHMENT_QUEUE, settings.broker_url)
        transport_errors = self._connection.connection_errors + self._connection.channel_errors
        self._errors: tuple[type[BaseException], ...] = (KombuError, OSError, *transport_errors)
        # Only writes the message; it reads no configuration and becomes nobody's current app.
        self._messages = Celery("enrichment-outbox", set_as_current=False, fixups=[]).amqp

    def publish(self, batch: Batch) -> None:
        """Sign the batch if its account has a key, and hand it to the broker.

        What raises BrokerUnavailable the broker did not take, or did not say so in time.
        """
        signed = sign(batch, self._keys)
        self._send(APPLY_EVENTS, batch.batch_id, signed.kwargs(), shown=shown_batch(batch))

    def ask(self, request: RequestMessage) -> None:
        """Sign what somebody asks of a flow, if there are keys, and hand it over; fails as `publish` does."""
        signed = request.signed(self._settings)
        self._send(APPLY_REQUEST, str(uuid.uuid4()), signed.kwargs(), shown=NOTHING)

    def _send(self, task: str, message_id: str, kwargs: dict[str, Any], *, shown: str) -> None:
        message = self._messages.as_task_v2(
            message_id, task, kwargs=kwargs, argsrepr="()", kwargsrepr=shown, ignore_result=True
        )
        is_long = len(kwargs["events"]) > _COMPRESSION_CHARS
        try:
            self._messages.send_task_message(
                self._producer,
                task,
                message,
                queue=self._queue,
                compression="zlib" if is_long else None,
                retry=False,
                timeout=_ANSWER_TIMEOUT_S,
                confirm_timeout=_ANSWER_TIMEOUT_S,
            )
        except self._errors as error:
            self._renew()
            raise BrokerUnavailable(f"The broker took no message ({_cause(error)}).") from error

    def close(self) -> None:
        """Close the connection without waiting for the broker."""
        self._connection.collect()

    def _renew(self) -> None:
        self._connection.collect()
        self._connection.maybe_switch_next()
        self._producer = Producer(self._connection)


class ConfirmationInbox:
    """The list on Redis where workers confirm to one sender what they committed; belongs to one thread.

    Beside it stands what that sender still waits for, for `/metrics`.
    """

    def __init__(self, settings: QueueSettings, sender_id: str) -> None:
        self._redis = redis_client(settings)
        self._sender_id = sender_id
        self._logged_flows: set[str] = set()
        self._backlog_name = f"{OUTBOX_NOTE}{sender_id}"

    def receive(self) -> list[str]:
        """Return the ids of the batches confirmed since the last call; fails as `receive_from` does."""
        return self.receive_from([self._sender_id])[self._sender_id]

    def receive_from(self, sender_ids: Collection[str]) -> dict[str, list[str]]:
        """Return the ids of confirmed batches for each of several senders; what is malformed counts as none.

        Others are those whose batches this one took over.

        Raises:
            BrokerUnavailable: Redis did not answer.
        """
        pipeline: Any = self._redis.pipeline(transaction=False)
        for sender_id in sender_ids:
            pipeline.lpop(confirmations_key(sender_id), _MOST_CONFIRMATIONS)
            pipeline.spop(missing_rows_key(sender_id), _MOST_CONFIRMATIONS)
        try:
            answers: list[Any] = pipeline.execute()
        except redis.RedisError as error:
            raise BrokerUnavailable(f"Redis gave no confirmations ({_cause(error)}).") from error
        self._log_missing_rows({flow_id for flow_ids in answers[1::2] for flow_id in flow_ids})
        return {
            sender_id: [found for text in texts or () if (found := _batch_id(text))]
            for sender_id, texts in zip(sender_ids, answers[::2], strict=True)
        }

    def _log_missing_rows(self, flow_ids: Iterable[str]) -> None:
        if len(self._logged_flows) > _MOST_LOGGED_FLOWS:
            self._logged_flows.clear()
        for flow_id in {*flow_ids} - self._logged_flows:
            self._logged_flows.add(flow_id)
            _logger.warning(
                "Flow %s has no master row yet, so its reports wait for a while: make the row with"
                " create_master_flow, or pass create=True and flow_type to create_progress_tracker.",
                flow_id,
            )

    def note_backlog(self, backlog: Mapping[str, float | None]) -> None:
        """Note what waits in the outbox, for a minute: {"events", "bytes", "lost", "oldest_at"}.

        Raises:
            BrokerUnavailable: Redis did not answer.
        """
        try:
            leave_note(self._redis, self._backlog_name, json.dumps(backlog), kept_s=_BACKLOG_KEPT_S)
        except redis.RedisError as error:
            raise BrokerUnavailable(f"Redis took no note ({_cause(error)}).") from error

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()


def queue_lengths(settings: QueueSettings) -> dict[str, int]:
    """Return how many messages wait in each queue, whatever the broker is; one that was never used has none.

    It blocks its thread, for about a second at most.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    lengths = {}
    with broker_connection(settings, timeout_s=_ANSWER_TIMEOUT_S) as connection:
        for each in all_queues(settings.broker_url):
            try:
                lengths[each.name] = waiting(connection, each.name)
            except connection.channel_errors:
                lengths[each.name] = 0
            except connection.connection_errors as error:
                raise BrokerUnavailable(f"The broker does not answer ({_cause(error)}).") from error
    return lengths


def redis_client(settings: QueueSettings) -> "redis.Redis":
    """Return a client of REDIS_URL, Sentinel included, that neither waits long nor tries twice."""
    return client_of(settings.redis, settings)


def client_of(address: RedisAddress, settings: QueueSettings) -> "redis.Redis":
    """Return such a client of any address."""
    options: dict[str, Any] = {
        **address.client_options,
        "decode_responses": True,
        "health_check_interval": 10,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": _ANSWER_TIMEOUT_S,
        "socket_keepalive": True,
        "socket_timeout": _ANSWER_TIMEOUT_S,
    }
    if not address.is_sentinel:
        return redis.Redis(**options)
    sentinel = Sentinel(address.hosts, sentinel_kwargs=sentinel_waits(), **options)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(settings.sentinel_master)  # type: ignore[no-untyped-call]
    return client


def _batch_id(text: str) -> str | None:
    try:
        return str(json.loads(text)["batch_id"])
    except (ValueError, KeyError, TypeError):
        return None


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error!s:.300}"
