"""How many events were skipped while enrichment was off: of each flow, and of all; see ADR 14.

A tenant's hash holds at most 1,000 flows. What is skipped of others is one sum, and then nobody knows of
which flows that was. A hash is forgotten 30 days after the last event that it counts.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from redis.asyncio import Redis

from masterflow.domain.clock import parse_time
from masterflow.domain.redis_keys import SKIPPED_KEY, skipped_key
from masterflow.repository.redis.client import RedisLink

MOST_FLOWS: Final = 1_000
KEPT_S: Final = 30 * 86_400

#: The field of a tenant's flows beyond the first 1,000, and those of the sum of all tenants.
OTHER_FLOWS: Final = "others"
EVENTS: Final = "events"
LAST_AT: Final = "last_at"


@dataclass(frozen=True, slots=True)
class SkippedEvents:
    """What was skipped of one flow."""

    count: int
    #: Whether there may have been more, as not all flows of its tenant are counted one by one.
    is_floor: bool


@dataclass(frozen=True, slots=True)
class SkippedTotal:
    """What was skipped of all flows within the last 30 days."""

    events: int
    last_at: datetime | None


async def read_skipped(
    link: RedisLink, client_account_id: UUID, engagements: Mapping[UUID, UUID]
) -> dict[UUID, SkippedEvents]:
    """Return what was skipped of each of these flows, given with their engagements.

    What raises RedisUnavailable may be told later.
    """
    flows: dict[UUID, list[UUID]] = defaultdict(list)
    for flow_id, engagement_id in engagements.items():
        flows[engagement_id].append(flow_id)

    async def ask(redis: Redis) -> list[list[bytes | None]]:
        pipeline = redis.pipeline(transaction=False)
        for engagement_id, ids in flows.items():
            pipeline.hmget(skipped_key(client_account_id, engagement_id), [*map(str, ids), OTHER_FLOWS])
        answers: list[list[bytes | None]] = await pipeline.execute()
        return answers

    answers = await link.ask(ask) if flows else []
    return {
        flow_id: SkippedEvents(int(count or 0), is_floor=count is None and others is not None)
        for ids, (*counts, others) in zip(flows.values(), answers, strict=True)
        for flow_id, count in zip(ids, counts, strict=True)
    }


async def read_skipped_total(link: RedisLink) -> SkippedTotal:
    """Return what was skipped of all flows; raises RedisUnavailable if nobody can tell now."""

    async def ask(redis: Redis) -> list[Any]:
        answers: list[Any] = await redis.hmget(SKIPPED_KEY, [EVENTS, LAST_AT])
        return answers

    events, last_at = await link.ask(ask)
    return SkippedTotal(int(events or 0), parse_time(last_at.decode()) if last_at else None)
