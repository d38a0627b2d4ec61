"""Messages that wait for the row of a flow, in a Redis sorted set ordered by the time they are due.

Where the operators have keys, each bears a proof with theirs. What bears none, and whatever is no message of
ours, is removed when it is due, and counted.

There is room for 1,000 messages of at most 256 KB. Beyond that a batch waits with its sender, who sends it
again, and a task that was sent by its name is set aside at once.
"""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from redis import Redis, RedisError

from masterflow.domain.redis_keys import PARKED_KEY, PARKED_LOCK_KEY
from masterflow.domain.signing.signatures import Keys, Signature, is_proof, sign
from masterflow.tasks.counters import Counters
from masterflow.tasks.enqueue import BrokerUnavailable
from masterflow.tasks.guards.answers import AnswerTooLarge

#: More are not worth the memory; what comes on top does not wait.
MAX_PARKED: Final = 1_000

#: A larger one does not wait here either.
MAX_PARKED_CHARS: Final = 256_000

_SHORTEST_S: Final = 0.5
_LONGEST_S: Final = 10.0
_LOCK_MS: Final = 5_000
_MOST_AT_ONCE: Final = 20
_BEYOND_S: Final = 600.0
_OUR_TASKS: Final = "enrichment."
_NO_KEYS: Final[Keys] = {}

_logger = logging.getLogger(__name__)


def park(
    redis: "Redis", message: Mapping[str, Any], keys: Keys = _NO_KEYS, *, now: datetime, waited_s: float
) -> bool:
    """Put a message aside, the longer the longer it has waited; return whether there was room.

    The same message is parked once, however often it comes.

    Raises:
        BrokerUnavailable: Redis is away; the message is parked or not.
    """
    text = _signed(message, keys)
    if len(text) > MAX_PARKED_CHARS:
        return False
    due = now.timestamp() + min(max(waited_s / 2, _SHORTEST_S), _LONGEST_S)
    try:
        parked: Any = redis.zcard(PARKED_KEY)
        if parked >= MAX_PARKED:
            return False
        redis.zadd(PARKED_KEY, {text: due})
    except RedisError as error:
        raise BrokerUnavailable(f"Redis does not park a message: {error!r:.300}.") from error
    return True


def release_due(
    redis: "Redis", send: Callable[[dict[str, Any]], None], keys: Keys = _NO_KEYS, *, now: datetime
) -> int:
    """Send the messages that are due; return how many.

    A message leaves the set after it was sent. Were it sent twice, because the lock ran out or a
    worker was killed in between, the second one would change nothing. A `RedisError` passes.
    """
    # Nothing waits for so long, and what somebody puts there must not take the room of what does.
    redis.zremrangebyscore(PARKED_KEY, now.timestamp() + _BEYOND_S, "+inf")
    if _is_flooded(redis) or not redis.zcount(PARKED_KEY, "-inf", now.timestamp()):
        return 0
    if not redis.set(PARKED_LOCK_KEY, "1", nx=True, px=_LOCK_MS):
        return 0
    sent, forged = 0, 0
    for _ in range(_MOST_AT_ONCE):
        # One by one: what others put there may be of any size.
        try:
            texts: Any = redis.zrange(PARKED_KEY, "-inf", now.timestamp(), byscore=True, offset=0, num=1)
        except AnswerTooLarge:
            # It cannot even be named, so all of them go, as in a flood.
            redis.unlink(PARKED_KEY)
            forged += 1
            break
        if not texts:
            break
        message = _believed(texts[0], keys)
        if message is None:
            forged += 1
        else:
            send(message)
            sent += 1
        redis.zrem(PARKED_KEY, texts[0])
    redis.delete(PARKED_LOCK_KEY)
    _note_forged(redis, forged)
    return sent


def _is_flooded(redis: "Redis") -> bool:
    """Return whether there was far more than workers park, which is removed: batches come again."""
    count: Any = redis.zcard(PARKED_KEY)
    if count <= 2 * MAX_PARKED:
        return False
    redis.unlink(PARKED_KEY)
    _note_forged(redis, int(count))
    return True


def _note_forged(redis: "Redis", count: int) -> None:
    if count:
        counters = Counters()
        counters.add("forged:parked", count)
        counters.flush(redis)
        _logger.warning("%s parked messages were none of ours, and are gone", count)


def _signed(message: Mapping[str, Any], keys: Keys) -> str:
    signature = sign("parked", [json.dumps(message, sort_keys=True)], keys)
    proof = {"key_id": signature.key_id, "proof": signature.value} if signature else {}
    return json.dumps({**message, **proof}, sort_keys=True)


def _believed(text: str, keys: Keys) -> dict[str, Any] | None:
    """Return a message that a worker has parked; None if it is no such thing."""
    if len(text) > MAX_PARKED_CHARS:
        return None
    try:
        found = json.loads(text)
    except (RecursionError, ValueError):
        return None
    match found:
        case {"task": str(task), "message_id": str(), "kwargs": {}} if task.startswith(_OUR_TASKS):
            signature = Signature(str(found.pop("key_id", None)), str(found.pop("proof", None)))
            content = json.dumps(found, sort_keys=True)
            return found if not keys or is_proof("parked", [content], keys, signature) else None
    return None
