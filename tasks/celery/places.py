"""Puts right what somebody has put into the place of a key of ours, where it would stop workers for good.

Who may write to Redis can do that, and what lay there is gone in any case. So it is removed, and what waits
in outboxes comes again.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final, Self

from redis import Redis, RedisError

from masterflow.domain.redis_keys import (
    ALIVE_KEY,
    COUNTERS_KEY,
    NOTES_KEY,
    OUTBOXES_KEY,
    PARKED_KEY,
    PARKED_LOCK_KEY,
    SKIPPED_KEY,
    UNACKNOWLEDGED_KEY,
    WATCH_KEY,
    WATCH_LOCK_KEY,
    is_of_another_kind,
    notices_key,
    queue_key,
)
from masterflow.tasks.counters import Counters
from masterflow.tasks.enqueue import QueueSettings, client_of, redis_client
from masterflow.tasks.notices.queue import HASHES, INTENDED, LEASE, SORTED_SETS
from masterflow.tasks.notices.receivers import NoticeSettings
from masterflow.tasks.queues import BACKFILL_QUEUE, DEAD_LETTER_QUEUE, ENRICHMENT_QUEUE

# By the command that only a value of the right kind answers.
_OURS: Final = {
    "hlen": (COUNTERS_KEY, SKIPPED_KEY, WATCH_KEY, OUTBOXES_KEY),
    "zcard": (PARKED_KEY, NOTES_KEY, ALIVE_KEY),
}
_OUR_LOCKS: Final = (PARKED_LOCK_KEY, WATCH_LOCK_KEY)

# Those of kombu, which are where the broker is.
_OF_KOMBU: Final = {
    "hlen": (UNACKNOWLEDGED_KEY,),
    "zcard": (f"{UNACKNOWLEDGED_KEY}_index",),
    "llen": tuple(map(queue_key, (ENRICHMENT_QUEUE, BACKFILL_QUEUE, DEAD_LETTER_QUEUE))),
}
_LOCKS_OF_KOMBU: Final = (f"{UNACKNOWLEDGED_KEY}_mutex",)

#: The longest of them, kombu's, ends by itself after 30 s.
LONGEST_LOCK_S: Final = 90.0

_logger = logging.getLogger(__name__)


class Places:
    """Where our keys are, as one worker sees them."""

    def __init__(
        self, redis: "Redis", broker: "Redis | None" = None, *, receivers: Iterable[str] = ()
    ) -> None:
        """Look after the places in our Redis, and after kombu's in that of the broker if it is another."""
        self._redis = redis
        names = list(receivers)
        self._ours = {
            "hlen": (*_OURS["hlen"], notices_key(INTENDED), *_of_receivers(HASHES, names)),
            "zcard": (*_OURS["zcard"], *_of_receivers(SORTED_SETS, names)),
        }
        self._our_locks = (*_OUR_LOCKS, *_of_receivers((LEASE,), names))
        self._broker = redis if broker is None else broker
        #: Locks that were there at every look, by what they hold, and since when.
        self._held: dict[str, tuple[Any, float]] = {}

    @classmethod
    def of(cls, settings: QueueSettings) -> Self:
        """Return those of a worker with these settings."""
        address = settings.broker.redis
        is_another = address is not None and address != settings.redis
        broker = client_of(address, settings) if address is not None and is_another else None
        receivers = [one.name for one in NoticeSettings().receivers]
        return cls(redis_client(settings), broker, receivers=receivers)

    def put_right(self, *, now_s: float | None = None) -> None:
        """Remove what is of another kind than we make, and locks that never end; a `RedisError` passes.

        That of a broker on another Redis does not: what it is needed for says so.
        """
        now_s = time.monotonic() if now_s is None else now_s
        self._put_right(self._redis, self._ours, self._our_locks, now_s)
        with suppress(RedisError) if self._broker is not self._redis else nullcontext():
            self._put_right(self._broker, _OF_KOMBU, _LOCKS_OF_KOMBU, now_s)

    def _put_right(
        self, redis: "Redis", kinds: Mapping[str, Sequence[str]], locks: Sequence[str], now_s: float
    ) -> None:
        pipeline: Any = redis.pipeline(transaction=False)
        keys = []
        for command, names in kinds.items():
            for key in names:
                getattr(pipeline, command)(key)
                keys.append(key)
        for key in locks:
            pipeline.getrange(key, 0, 100)
        answers = dict(zip([*keys, *locks], pipeline.execute(raise_on_error=False), strict=True))
        wrong = {key for key, answer in answers.items() if is_of_another_kind(answer)}
        wrong |= self._endless({key: answers[key] for key in locks}, now_s)
        for key in sorted(wrong):
            redis.unlink(key)
            _logger.warning("%s in Redis held what nobody of ours leaves there; it is removed", key)
        if wrong:
            counters = Counters()
            counters.add("forged:key", len(wrong))
            counters.flush(self._redis)

    @contextmanager
    def put_right_if_in_the_way(self) -> Iterator[None]:
        """Put them right as soon as something fails because of one, and let the failure pass.

        To wait for the next turn is not enough: that may be put off by the very failure, again and again.
        """
        try:
            yield
        except Exception as error:
            self.put_right_after(error)
            raise

    def put_right_after(self, error: BaseException) -> None:
        """Put them right if this failed because of one; a Redis that is away is left for the next turn."""
        if is_of_another_kind(error) or is_of_another_kind(error.__cause__):
            with suppress(RedisError):
                self.put_right()

    def _endless(self, locks: Mapping[str, Any], now_s: float) -> set[str]:
        """Return which of these locks have held the same for longer than any of ours."""
        endless = set()
        for key, value in locks.items():
            if not value or isinstance(value, Exception):
                self._held.pop(key, None)
                continue
            if self._held.get(key, (None, 0))[0] != value:
                self._held[key] = (value, now_s)
            if now_s - self._held[key][1] > LONGEST_LOCK_S:
                endless.add(key)
        return endless


def _of_receivers(kinds: Iterable[str], receivers: Iterable[str]) -> list[str]:
    return [notices_key(kind, receiver) for receiver in receivers for kind in kinds]
