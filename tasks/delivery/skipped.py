"""What a worker notes about the events that it skips while enrichment is off."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from redis import Redis

from masterflow.domain.events import AnyEvent
from masterflow.domain.redis_keys import SKIPPED_KEY, skipped_key
from masterflow.repository.redis.skipped import EVENTS, KEPT_S, LAST_AT, MOST_FLOWS, OTHER_FLOWS


def note_skipped(redis: "Redis", events: Iterable[AnyEvent], *, now: datetime) -> None:
    """Count skipped events for the flows that they are about; a `RedisError` passes."""
    tenants: dict[str, Counter[str]] = {}
    for event in events:
        key = skipped_key(event.client_account_id, event.engagement_id)
        tenants.setdefault(key, Counter())[str(event.flow_id)] += 1
    for key, counts in tenants.items():
        _count(redis, key, counts)
    if tenants:
        pipeline: Any = redis.pipeline(transaction=False)
        pipeline.hincrby(SKIPPED_KEY, EVENTS, sum(counts.total() for counts in tenants.values()))
        pipeline.hset(SKIPPED_KEY, LAST_AT, now.isoformat())
        pipeline.expire(SKIPPED_KEY, KEPT_S)
        pipeline.execute()


def _count(redis: "Redis", key: str, counts: Counter[str]) -> None:
    pipeline: Any = redis.pipeline(transaction=False)
    for flow_id, count in counts.items():
        pipeline.hincrby(key, flow_id, count)
    pipeline.expire(key, KEPT_S)
    pipeline.hlen(key)
    *sums, _, length = pipeline.execute()
    if length > MOST_FLOWS:
        added = zip(counts.items(), sums, strict=True)
        new = [flow_id for (flow_id, count), total in added if total == count and flow_id != OTHER_FLOWS]
        _move_to_others(redis, key, new[max(0, len(new) + MOST_FLOWS - length) :])


def _move_to_others(redis: "Redis", key: str, flow_ids: list[str]) -> None:
    """Let flows beyond the bound be one sum, with what other workers may have added to them meanwhile."""
    if not flow_ids:
        return
    pipeline: Any = redis.pipeline(transaction=True)
    pipeline.hmget(key, flow_ids)
    pipeline.hdel(key, *flow_ids)
    counts, _ = pipeline.execute()
    if total := sum(map(int, filter(None, counts))):
        redis.hincrby(key, OTHER_FLOWS, total)
