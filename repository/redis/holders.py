"""How long ago the processes that hold flows gave their last sign of life, by the clock of Redis."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from masterflow.domain.liveness import Liveness, liveness_of
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from masterflow.repository.redis.client import RedisLink, RedisUnavailable


async def sign_ages(redis: RedisLink, flow_ids: Sequence[UUID]) -> dict[UUID, list[float]]:
    """Return the ages in seconds of the last signs of those that hold each flow; none where nobody does.

    What raises RedisUnavailable says nothing of anybody.
    """

    async def ask(client: Redis) -> dict[UUID, list[float]]:
        signs: Any = client.pipeline(transaction=False)
        signs.time()
        signs.zrange(ALIVE_KEY, 0, -1, withscores=True)
        (seconds, microseconds), alive = await signs.execute()
        holds: Any = client.pipeline(transaction=False)
        for sender_id, _ in alive:
            holds.hmget(holds_key(_text(sender_id)), [str(flow_id) for flow_id in flow_ids])
        held = await holds.execute() if alive else []
        now = seconds + microseconds / 1_000_000
        ages: dict[UUID, list[float]] = {flow_id: [] for flow_id in flow_ids}
        for (_, signed_at), fields in zip(alive, held, strict=True):
            for flow_id, field in zip(flow_ids, fields, strict=True):
                if field is not None:
                    ages[flow_id].append(max(0.0, now - signed_at))
        return ages

    return await redis.ask(ask) if flow_ids else {}


async def read_liveness(redis: RedisLink | None, row: Mapping[Any, Any]) -> Liveness | None:
    """Return what is known of the processes that hold the flow of a row that has `is_lost`.

    While Redis is away, whoever may hold it counts as alive, for nobody can say otherwise.
    """
    flow_id = row["flow_id"]
    try:
        ages = (await sign_ages(redis, [flow_id]))[flow_id] if redis else []
    except RedisUnavailable:
        ages = [0.0]
    return liveness_of(row["flow_status"], is_lost=row["is_lost"], sign_ages_s=ages)


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
