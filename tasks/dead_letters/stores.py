"""Where dead letters lie on each broker, and how one leaves it without a moment in which it could be lost."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from kombu import Connection, Consumer, Message, Producer
from kombu.utils.json import loads
from redis import Redis
from typing_extensions import override

from masterflow.domain.errors import InputInvalid
from masterflow.domain.redis_keys import queue_key
from masterflow.tasks.dead_letters.unreadable import MAX_LETTER_BYTES, unreadable_text
from masterflow.tasks.inbox.envelope import limit_unpacking
from masterflow.tasks.queues import DEAD_LETTER_QUEUE, queue, speaks_amqp

_ANSWER_TIMEOUT_S: Final = 5.0

# As many as a consumer may ask for; without asking it gets 2,000.
_MOST_HELD: Final = 65_535

# Letters that another process took first were counted, but do not come.
_SILENCE_S: Final = 1.0

# What reading a value that is no message raises, from its JSON to its missing headers and odd encodings.
_NO_LETTER: Final = (ValueError, TypeError, AttributeError, LookupError, RecursionError, InputInvalid)

#: Takes the letter it came with off the store.
Remove = Callable[[], object]


class LetterStore(ABC):
    """The letters of one broker, seen through one open channel."""

    def __init__(self, connection: Connection, channel: Any) -> None:
        # Whoever puts something here need not be one of ours, and may have packed a bomb.
        limit_unpacking()
        self._connection = connection
        self._queue = queue(DEAD_LETTER_QUEUE, connection.as_uri()).bind(channel)
        self._queue.declare()
        self._channel = channel
        self._producer = Producer(channel)

    def put(self, texts: Sequence[str]) -> None:
        """Add letters; the broker has them all when this returns."""
        for text in texts:
            self._producer.publish(
                text,
                routing_key=DEAD_LETTER_QUEUE,
                content_type="application/json",
                content_encoding="utf-8",
                retry=False,
                timeout=_ANSWER_TIMEOUT_S,
                confirm_timeout=_ANSWER_TIMEOUT_S,
            )

    @abstractmethod
    def read(self) -> list[tuple[str, Remove]]:
        """Return every letter, oldest first; each stays unless it is removed."""

    @abstractmethod
    def count(self) -> int:
        """Return how many letters there are."""

    @abstractmethod
    def trim(self, most: int) -> int:
        """Drop the oldest letters until at most so many are left; return how many were dropped."""


class RedisLetterStore(LetterStore):
    """A list, read in place, because what is popped is lost with the process that popped it."""

    def __init__(self, connection: Connection, channel: Any) -> None:
        super().__init__(connection, channel)
        self._redis = Redis(connection_pool=channel.pool)
        self._key = queue_key(DEAD_LETTER_QUEUE)

    @override
    def read(self) -> list[tuple[str, Remove]]:
        values: Any = self._redis.lrange(self._key, 0, -1)
        return [(self._text(value), self._remover(value)) for value in reversed(values)]

    @override
    def count(self) -> int:
        count: Any = self._redis.llen(self._key)
        return int(count)

    @override
    def trim(self, most: int) -> int:
        pipeline = self._redis.pipeline()
        pipeline.llen(self._key)
        pipeline.ltrim(self._key, 0, most - 1)
        count, _ = pipeline.execute()
        return int(max(0, count - most))

    def _text(self, value: bytes) -> str:
        if len(value) > 2 * MAX_LETTER_BYTES:
            return unreadable_text(value, f"it has {len(value)} bytes.")
        try:
            return _text_of(self._channel.Message(loads(value), channel=self._channel))
        except _NO_LETTER as error:
            return unreadable_text(value, repr(error))

    def _remover(self, value: Any) -> Remove:
        # Each value holds a delivery tag, so it is the only one of its kind; the oldest are at the end.
        return lambda: self._redis.lrem(self._key, -1, value)


class AmqpLetterStore(LetterStore):
    """A queue; what is read is held unacknowledged, and goes back to it when the channel closes.

    While one process reads, others do not see the letters it holds.
    """

    @override
    def read(self) -> list[tuple[str, Remove]]:
        held: list[Message] = []
        expected = min(self.count(), _MOST_HELD)
        if expected:
            self._channel.basic_qos(0, expected, a_global=False)
            consumer = Consumer(
                self._channel,
                [self._queue],
                on_message=held.append,
                on_decode_error=lambda message, _: held.append(message),
            )
            with consumer, suppress(TimeoutError):
                while len(held) < expected:
                    self._connection.drain_events(timeout=_SILENCE_S)
        return [(_text_of(message), message.ack) for message in held]

    @override
    def count(self) -> int:
        declared: Any = self._channel.queue_declare(DEAD_LETTER_QUEUE, passive=True)
        return int(declared.message_count)

    @override
    def trim(self, most: int) -> int:
        dropped = 0
        for _ in range(self.count() - most):
            # As it is: what is no letter cannot be unpacked, and goes all the same.
            if (message := self._channel.basic_get(DEAD_LETTER_QUEUE)) is None:
                break
            self._channel.basic_ack(message.delivery_tag)
            dropped += 1
        return dropped


def letter_store(connection: Connection, channel: Any) -> LetterStore:
    """Return the store of a connection's broker."""
    limit_unpacking()
    kind = AmqpLetterStore if speaks_amqp(connection.as_uri()) else RedisLetterStore
    return kind(connection, channel)


def _text_of(message: Message) -> str:
    """Return a letter's JSON; where it cannot be read, or is too large, that of a letter about it."""
    body = message.body if isinstance(message.body, str) else bytes(message.body or b"")
    if message.errors:
        return unreadable_text(body, repr(message.errors[0][1]))
    if len(body) > MAX_LETTER_BYTES:
        return unreadable_text(body, f"it has {len(body)} bytes.")
    try:
        return body if isinstance(body, str) else body.decode("utf-8")
    except UnicodeDecodeError as error:
        return unreadable_text(body, error)
