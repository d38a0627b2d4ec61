"""Signs of life as a process writes them, and rounds of the watch without waiting for beat."""

import json
import time
from functools import partial
from typing import Any
from uuid import UUID

from masterflow.domain import FlowContext
from masterflow.domain.life.signs import own_text
from masterflow.domain.redis_keys import ALIVE_KEY, WATCH_KEY, WATCH_LOCK_KEY, holds_key
from masterflow.tasks.celery.runs import signed_run
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

HOLDER = "host-1-eve"
LOOK = "watch.look"


def tell(
    place: Workplace,
    context: FlowContext,
    flow_id: UUID,
    *,
    sender: str = HOLDER,
    moment: Any = None,
    **held: Any,
) -> None:
    """Write a sign of a process that says it holds the flow."""
    now = time.time_ns() // 1000
    fields = {
        "client_account_id": str(context.client_account_id),
        "engagement_id": str(context.engagement_id),
        "user_id": context.user_id,
        "flow_type": "discovery",
        "since": now,
        "phase": None,
        "flow_deadline_at": None,
        "phases": {},
        **held,
    }
    own = own_text(host="host", pid=1, moment=moment or now, sequence=1)
    place.redis.hset(holds_key(sender), mapping={"": own, str(flow_id): json.dumps(fields)})
    place.redis.zadd(ALIVE_KEY, {sender: time.time()})


def rounds(place: Workplace) -> int:
    found: Any = place.redis.hget(WATCH_KEY, "rounds")
    return int(found or 0)


def is_over(place: Workplace, before: int) -> bool:
    return rounds(place) > before and not place.redis.exists(WATCH_LOCK_KEY)


def make_rounds(place: Workplace, times: int) -> None:
    for _ in range(times):
        before = rounds(place)
        place.redis.hdel(WATCH_KEY, "round_at")
        place.send_task(LOOK, **signed_run(LOOK, place.settings.worker_keys, valid_s=600))
        eventually(partial(is_over, place, before))
