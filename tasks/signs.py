"""What processes leave in Redis about themselves, listed, so that nobody has to search all keys for it."""

import time
from typing import Any, Final

from redis import Redis

from masterflow.tasks.queues import KEY_PREFIX

#: A sorted set: the names of all signs, each with the time at which it was last left.
SIGNS_KEY: Final = f"{KEY_PREFIX}signs"

#: No sign is kept for longer, nor its name, or the names of all processes there ever were would pile up.
LONGEST_S: Final = 3_600


def leave_sign(redis: "Redis", name: str, value: str, *, kept_s: int) -> None:
    """Leave a value under a name for so many seconds, an hour at most; a `RedisError` passes."""
    now = time.time()
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.set(f"{KEY_PREFIX}{name}", value, ex=kept_s)
    pipeline.zadd(SIGNS_KEY, {name: now})
    pipeline.zremrangebyscore(SIGNS_KEY, "-inf", now - LONGEST_S)
    pipeline.expire(SIGNS_KEY, LONGEST_S)
    pipeline.execute()
