"""The signs of life that workers and beat leave in Redis."""

import time
from typing import Any, Final

from redis import Redis

from masterflow.tasks.queues import KEY_PREFIX
from masterflow.tasks.signs import LONGEST_S, leave_sign

BEAT: Final = "beat"

#: How often a process shows that it lives.
INTERVAL_S: Final = 5.0


def write_heartbeat(redis: "Redis", name: str) -> None:
    """Note that the process of this name lives; a worker's is its `name@host`; a `RedisError` passes."""
    leave_sign(redis, f"heartbeat:{name}", f"{time.time():.3f}", kept_s=LONGEST_S)


def heartbeat_age_s(redis: "Redis", name: str) -> float | None:
    """Return how long ago a process showed that it lives, None if over an hour; a `RedisError` passes."""
    at: Any = redis.get(f"{KEY_PREFIX}heartbeat:{name}")
    return None if at is None else max(0.0, time.time() - float(at))


def forget_heartbeat(redis: "Redis", name: str) -> None:
    """Let a process that ends as it should not count as one that fell silent; a `RedisError` passes."""
    redis.delete(f"{KEY_PREFIX}heartbeat:{name}")
