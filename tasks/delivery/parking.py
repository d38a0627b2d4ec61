"""Messages that wait for the row of a flow, in a Redis sorted set ordered by the time they are due."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from redis import Redis, RedisError

from masterflow.domain.redis_keys import PARKED_KEY, PARKED_LOCK_KEY
from masterflow.tasks.enqueue import BrokerUnavailable

#: More are not worth the memory; what comes on top does not wait.
MAX_PARKED: Final = 1_000

_SHORTEST_S: Final = 0.5
_LONGEST_S: Final = 10.0
_LOCK_MS: Final = 5_000
_MOST_AT_ONCE: Final = 100

_logger = logging.getLogger(__name__)


def park(redis: "Redis", message: Mapping[str, Any], *, now: datetime, waited_s: float) -> bool:
    """Put a message aside, the longer the longer it has waited; return whether there was room.

    The same message is parked once, however often it comes.

    Raises:
        BrokerUnavailable: Redis is away; the message is parked or not.
    """
    text = json.dumps(message, sort_keys=True)
    due = now.timestamp() + min(max(waited_s / 2, _SHORTEST_S), _LONGEST_S)
    try:
        parked: Any = redis.zcard(PARKED_KEY)
        if parked >= MAX_PARKED:
            return False
        redis.zadd(PARKED_KEY, {text: due})
    except RedisError as error:
        raise BrokerUnavailable(f"Redis does not park a message: {error!r:.300}.") from error
    return True


def release_due(redis: "Redis", send: Callable[[dict[str, Any]], None], *, now: datetime) -> int:
    """Send the messages that are due; return how many.

    A message leaves the set after it was sent. Were it sent twice, because the lock ran out or a
    worker was killed in between, the second one would change nothing. A `RedisError` passes.
    """
    if not redis.zcount(PARKED_KEY, "-inf", now.timestamp()):
        return 0
    if not redis.set(PARKED_LOCK_KEY, "1", nx=True, px=_LOCK_MS):
        return 0
    texts: Any = redis.zrange(PARKED_KEY, "-inf", now.timestamp(), byscore=True, offset=0, num=_MOST_AT_ONCE)
    for text in texts:
        send(json.loads(text))
        redis.zrem(PARKED_KEY, text)
    redis.delete(PARKED_LOCK_KEY)
    return len(texts)
