"""What processes leave in Redis about themselves, listed, so that nobody has to search all keys for it."""

import time
from typing import Any, Final

from redis import Redis

from tasks.queues import KEY_PREFIX

#: A sorted set: the names of all signs, each with the time at which it was last left.
SIGNS_KEY: Final = f"{KEY_PREFIX}signs"


def leave_sign(redis: "Redis", name: str, value: str, *, kept_s: int) -> None:
    """Leave a value under a name for so many seconds; a `RedisError` passes."""
    now = time.time()
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.set(f"{KEY_PREFIX}{name}", value, ex=kept_s)
    pipeline.zadd(SIGNS_KEY, {name: now})
    pipeline.execute()
