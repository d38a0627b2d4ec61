"""How often a batch was tried, and since when: what the broker does not know.

One Redis hash per batch: `first_seen` (microseconds since 1970), `tries`, `lost` (tries in a row
after which the worker said nothing more) and `committed`. Without Redis every try is the first.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from redis import Redis, RedisError

from masterflow.domain.clock import from_microseconds, to_microseconds
from masterflow.domain.redis_keys import attempt_key

#: A batch that ends its worker so often in a row is set aside.
MAX_LOST: Final = 20

_KEPT_S: Final = 600

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to apply a batch."""

    batch_id: str
    first_seen: datetime
    #: 1 is the first.
    number: int = 1
    lost: int = 0
    was_committed: bool = False


def begin_attempt(redis: "Redis", batch_id: str, *, now: datetime) -> Attempt:
    """Note that a batch is tried now; the note is kept for ten minutes."""
    key = attempt_key(batch_id)
    pipeline = redis.pipeline()
    pipeline.hsetnx(key, "first_seen", str(to_microseconds(now)))
    pipeline.hincrby(key, "tries", 1)
    pipeline.hincrby(key, "lost", 1)
    pipeline.hmget(key, "first_seen", "committed")
    pipeline.expire(key, _KEPT_S)
    try:
        _, tries, lost, (first_seen, committed), _ = pipeline.execute()
    except RedisError as error:
        _logger.warning("Redis does not say how often batch %s was tried: %s", batch_id, error)
        return Attempt(batch_id, now)
    return Attempt(batch_id, from_microseconds(int(first_seen)), tries, lost - 1, committed is not None)


def seed_attempt(redis: "Redis", batch_id: str, *, first_seen: datetime, tries: int) -> None:
    """Let a batch that is sent again as a new one keep its past; a `RedisError` passes."""
    key = attempt_key(batch_id)
    pipeline = redis.pipeline()
    pipeline.hset(key, mapping={"first_seen": to_microseconds(first_seen), "tries": tries})
    pipeline.expire(key, _KEPT_S)
    pipeline.execute()


def end_attempt(pipeline: Any, batch_id: str, *, is_committed: bool) -> None:
    """Note, along with a Redis pipeline, that the worker lived to give the batch back or to commit it."""
    pipeline.hset(attempt_key(batch_id), "lost", 0)
    if is_committed:
        pipeline.hset(attempt_key(batch_id), "committed", 1)
