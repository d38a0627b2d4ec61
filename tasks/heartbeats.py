"""What processes write into Redis about themselves: that they live, and what waits in their outbox.

The names are listed, so that nobody has to search all keys for them.
"""

import json
import time
from typing import Any, Final

from redis import Redis

from masterflow.domain.redis_keys import HEARTBEAT_NOTE, NOTES_KEY, OUTBOXES_KEY, note_key
from masterflow.repository.redis.gauges import is_stale
from masterflow.tasks.guards.answers import AnswerTooLarge

#: No note is kept for longer, nor its name, or the names of all processes there ever were would pile up.
LONGEST_S: Final = 3_600

BEAT: Final = "beat"

_MOST_DROPPED: Final = 1_000

#: How often a process shows that it lives.
INTERVAL_S: Final = 5.0


def leave_note(redis: "Redis", name: str, value: str, *, kept_s: int) -> None:
    """Write a value under a name for `kept_s` seconds, an hour at most; a `RedisError` passes."""
    now = time.time()
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.set(note_key(name), value, ex=kept_s)
    pipeline.zadd(NOTES_KEY, {name: now})
    pipeline.zremrangebyscore(NOTES_KEY, "-inf", now - LONGEST_S)
    pipeline.expire(NOTES_KEY, LONGEST_S)
    pipeline.execute()


def write_heartbeat(redis: "Redis", name: str) -> None:
    """Note that the process of this name lives; a worker's is its `name@host`; a `RedisError` passes."""
    leave_note(redis, f"{HEARTBEAT_NOTE}{name}", f"{time.time():.3f}", kept_s=LONGEST_S)


def heartbeat_age_s(redis: "Redis", name: str) -> float | None:
    """Return how long ago a process showed that it lives, None if over an hour; a `RedisError` passes."""
    at: Any = redis.get(note_key(f"{HEARTBEAT_NOTE}{name}"))
    return None if at is None else max(0.0, time.time() - float(at))


def forget_silent_outboxes(redis: "Redis") -> None:
    """Drop what outboxes told that have been silent since; a `RedisError` passes.

    Raises:
        AnswerTooLarge: it was more than all outboxes say, and is removed.
    """
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.hgetall(OUTBOXES_KEY)
    pipeline.time()
    try:
        notes, there = pipeline.execute()
    except AnswerTooLarge:
        # Whoever lives tells it again within seconds.
        redis.unlink(OUTBOXES_KEY)
        raise
    if silent := [name for name, note in notes.items() if not _holds(note, there[0])]:
        redis.hdel(OUTBOXES_KEY, *silent[:_MOST_DROPPED])


def _holds(note: str, there_s: float) -> bool:
    try:
        return not is_stale(json.loads(note), there_s)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False


def forget_heartbeat(redis: "Redis", name: str) -> None:
    """Let a process that ends as it should not count as one that fell silent; a `RedisError` passes."""
    redis.delete(note_key(f"{HEARTBEAT_NOTE}{name}"))
