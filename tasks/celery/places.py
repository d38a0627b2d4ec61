"""Puts right what somebody has put into the place of a key of ours, where it would stop workers for good.

Who may write to Redis can do that, and what lay there is gone in any case. So it is removed, and what waits
in outboxes comes again.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

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
    queue_key,
)
from masterflow.tasks.counters import Counters
from masterflow.tasks.queues import BACKFILL_QUEUE, DEAD_LETTER_QUEUE, ENRICHMENT_QUEUE

_HASHES: Final = (COUNTERS_KEY, SKIPPED_KEY, WATCH_KEY, OUTBOXES_KEY, UNACKNOWLEDGED_KEY)
_SORTED_SETS: Final = (PARKED_KEY, NOTES_KEY, ALIVE_KEY, f"{UNACKNOWLEDGED_KEY}_index")
_LISTS: Final = tuple(map(queue_key, (ENRICHMENT_QUEUE, BACKFILL_QUEUE, DEAD_LETTER_QUEUE)))
_LOCKS: Final = (PARKED_LOCK_KEY, WATCH_LOCK_KEY, f"{UNACKNOWLEDGED_KEY}_mutex")

#: The longest of them, kombu's, ends by itself after 30 s.
LONGEST_LOCK_S: Final = 90.0

_logger = logging.getLogger(__name__)


class Places:
    """Where our keys are, as one worker sees them."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        #: Locks that were there at every look, by what they hold, and since when.
        self._held: dict[str, tuple[Any, float]] = {}

    def put_right(self, *, now_s: float | None = None) -> None:
        """Remove what is of another kind than we make, and locks that never end; a `RedisError` passes."""
        pipeline: Any = self._redis.pipeline(transaction=False)
        for key in _HASHES:
            pipeline.hlen(key)
        for key in _SORTED_SETS:
            pipeline.zcard(key)
        for key in _LISTS:
            pipeline.llen(key)
        for key in _LOCKS:
            pipeline.getrange(key, 0, 100)
        keys = (*_HASHES, *_SORTED_SETS, *_LISTS, *_LOCKS)
        answers = dict(zip(keys, pipeline.execute(raise_on_error=False), strict=True))
        wrong = {key for key, answer in answers.items() if is_of_another_kind(answer)}
        wrong |= self._endless(
            {key: answers[key] for key in _LOCKS}, time.monotonic() if now_s is None else now_s
        )
        for key in sorted(wrong):
            self._redis.unlink(key)
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

    def _endless(self, locks: dict[str, Any], now_s: float) -> set[str]:
        self._held = {
            key: self._held[key] if self._held.get(key, (None, 0))[0] == value else (value, now_s)
            for key, value in locks.items()
            if value and not isinstance(value, Exception)
        }
        return {key for key, (_, since_s) in self._held.items() if now_s - since_s > LONGEST_LOCK_S}
