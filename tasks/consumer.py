"""Celery's consumer, which keeps as dead letters what Celery would log and drop."""

import logging
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NoReturn

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu import Message, compression
from kombu.exceptions import ContentDisallowed, DecodeError
from vine import promise

from domain.errors import InputInvalid, PermanentError
from repository.settings import DatabaseSettings, RedisSettings
from tasks.admission import refused_message
from tasks.attempts import Attempt
from tasks.counters import Counters
from tasks.dead_letters import DeadLetters, letter_about
from tasks.enqueue import BrokerUnavailable, QueueSettings, redis_client
from tasks.refusals import MessageTooLarge, MessageUnreadable, TaskUnknown
from tasks.worker_settings import WorkerSettings

# The text of a batch may have 2,000,000 characters, and JSON writes most of them as one or two bytes.
_MAX_BODY_BYTES: Final = 4_000_000
_MAX_HEADERS_CHARS: Final = 20_000
_EXCERPT_BYTES: Final = 4_000

# What Celery raises over headers that no Celery writes.
_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)

# No queue of ours has a use for tasks that wait, for which Celery declares 56 more on RabbitMQ.
_UNUSED_STEP: Final = "celery.worker.consumer.delayed_delivery:DelayedDelivery"

_logger = logging.getLogger(__name__)


class Consumer(CeleryConsumer):
    """Hands each task to the pool, and keeps whatever is none; nothing that comes can end the worker."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc,valid-type]  # a class, but not in its stub
        """Celery's steps and one of ours."""

        default_steps: ClassVar[list[str]] = [
            *(step for step in CeleryConsumer.Blueprint.default_steps if step != _UNUSED_STEP),
            "tasks.upkeep:Upkeep",
        ]

    def __init__(self, *args: Any, **options: Any) -> None:
        """Start only with the settings that the children will need."""
        DatabaseSettings()
        RedisSettings()
        super().__init__(*args, **options)
        self._connection_errors: tuple[type[Exception], ...] = self.connection_errors  # type: ignore[attr-defined]
        self._counters = Counters()
        self._redis = redis_client(QueueSettings())
        self._dead_letters = DeadLetters(
            self.app.connection_for_write(), max_letters=WorkerSettings().max_dead_letters
        )

    def create_task_handler(self, promise: type[promise] = promise) -> Callable[[Message], None]:
        """Return what is called with each message."""
        receive = super().create_task_handler(promise)

        def receive_task(message: Message) -> None:
            try:
                _check(message)
                receive(message)
            except PermanentError as error:
                self._refuse(message, error)
            except _MALFORMED as error:
                if message.acknowledged:
                    raise
                self._refuse(message, InputInvalid(f"The message has malformed headers: {error!r:.200}."))

        return receive_task

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002
        """Keep a message for a task that does not exist."""
        self._refuse(message, TaskUnknown(f"No task is called {message.headers['task']!r:.100}."))

    def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002
        """Keep a message that breaks Celery's protocol."""
        self._refuse(message, InputInvalid(f"The message is no Celery task: {exc!s:.200}."))

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep a message that cannot be decoded."""
        error = (
            exc
            if isinstance(exc, PermanentError)
            else MessageUnreadable(f"The message is no JSON: {exc!s:.200}.")
        )
        self._refuse(message, error)

    def _refuse(self, message: Message, error: PermanentError) -> None:
        """Keep a message among the dead letters, then acknowledge it.

        Raises:
            ConnectionError: it could not be kept; the worker connects again, and the message comes again.
        """
        message_id = str((message.headers or {}).get("id"))[:100]
        _logger.error("Message %s is set aside: %s", message_id, error)
        admission = refused_message(message_id, _excerpt(message), error)
        letter = letter_about(admission.refusals[0], admission, Attempt(message_id, datetime.now(UTC)))
        try:
            dropped = self._dead_letters.put([letter])
        except BrokerUnavailable as unavailable:
            raise ConnectionError(str(unavailable)) from unavailable
        message.ack_log_error(_logger, self._connection_errors)
        self._counters.add(f"dead:{letter.reason}")
        self._counters.add("dead_dropped", dropped)
        self._counters.flush(self._redis)


def _check(message: Message) -> None:
    """Accept a message that Celery can make a request of.

    Raises:
        InputInvalid: it has not the shape of one.
        MessageTooLarge: nothing of ours is that large.
        MessageUnreadable: it is no JSON.
    """
    size = len(message.body or b"")
    if size > _MAX_BODY_BYTES:
        raise MessageTooLarge(f"The message has {size} bytes; at most {_MAX_BODY_BYTES} are read.")
    headers = message.headers
    if len(str(headers)) > _MAX_HEADERS_CHARS:
        raise MessageTooLarge(f"The headers are longer than {_MAX_HEADERS_CHARS} characters.")
    if not (isinstance(headers.get("task"), str) and isinstance(headers.get("id"), str)):
        raise InputInvalid("The message names no task or has no id; send it with Celery, protocol 2.")
    try:
        payload = message.payload
    except (ContentDisallowed, DecodeError) as error:
        raise MessageUnreadable(f"The message is no JSON: {error!s:.200}.") from error
    match payload:
        case [list(), dict(), dict() | None]:
            return
    raise InputInvalid("The message holds no [args, kwargs, embed]; send it with Celery, protocol 2.")


def _excerpt(message: Message) -> str:
    body = message.body or b""
    text = (
        body[:_EXCERPT_BYTES]
        if isinstance(body, str)
        else bytes(body[:_EXCERPT_BYTES]).decode("utf-8", "replace")
    )
    return f"{(message.headers or {}).get('task')!s:.100} {text}"


def _unpack(packed: bytes) -> bytes:
    """Return what zlib packed, but stop at the size of a bomb.

    Raises:
        MessageTooLarge: there is more of it than any message of ours holds.
    """
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(packed, _MAX_BODY_BYTES + 1)
    if len(body) > _MAX_BODY_BYTES:
        raise MessageTooLarge(f"The message unpacks to more than {_MAX_BODY_BYTES} bytes.")
    return body


def _refuse_to_unpack(_: bytes) -> NoReturn:
    raise MessageUnreadable("The message is packed with something else than zlib.")


# kombu unpacks a message before anyone can look at its size.
for _content_type in compression.encoders():
    _encoder: Any = compression.get_encoder(_content_type)
    _decoder = _unpack if _content_type == "application/x-gzip" else _refuse_to_unpack
    compression.register(_encoder[0], _decoder, _content_type)
