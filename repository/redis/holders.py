"""Who holds which flow, as the processes tell it by their signs of life."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

from redis.asyncio import Redis

from masterflow.domain.life.signs import Held, Sign
from masterflow.domain.liveness import Liveness, dead_holder, liveness_of
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from masterflow.domain.signing.settings import SigningKeys
from masterflow.repository.redis.client import RedisLink, RedisUnavailable

#: One look serves all who ask within this time.
_KEPT_S: Final = 1.0

_MOST_SENDERS: Final = 10_000

# So that their signs together are no answer beyond all measure; of 1,000 flows one has half a megabyte.
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a flow: what it told of it, and how long ago."""

    sender_id: str
    host: str
    age_s: float
    held: Held


class Holders:
    """All who hold flows, at one moment."""

    def __init__(self, holders: Iterable[tuple[UUID, Holder]]) -> None:
        self._holders: dict[UUID, list[Holder]] = {}
        for flow_id, holder in holders:
            self._holders.setdefault(flow_id, []).append(holder)

    def of(self, flow_id: UUID) -> list[Holder]:
        """Return who holds a flow, whoever told it last first."""
        return sorted(self._holders.get(flow_id, []), key=lambda one: one.age_s)

    @property
    def flow_ids(self) -> list[UUID]:
        """Return the flows that somebody says to hold; how they stand their rows say as well."""
        return list(self._holders)


_looks: WeakKeyDictionary[RedisLink, tuple[float, Holders]] = WeakKeyDictionary()


async def read_holders(link: RedisLink) -> Holders:
    """Return who holds what now, or a second ago; raises RedisUnavailable if nobody can tell."""
    at, holders = _looks.get(link, (0.0, None))
    if holders is None or time.monotonic() - at > _KEPT_S:
        holders = Holders(_seen(*await link.ask(_ask), keys=link.signing_keys))
        _looks[link] = time.monotonic(), holders
    return holders


def living(row: Mapping[Any, Any], holders: Iterable[Holder]) -> list[Holder]:
    """Return the holders of a flow that may live, by its row: one that is told to be dead holds nothing.

    Its last sign may stand for some seconds more. What another client account's process says counts for
    nothing. The row has `client_account_id`, `is_lost` and `lost`.
    """
    dead = dead_holder(row["lost"], is_lost=bool(row["is_lost"]))
    account = row["client_account_id"]
    return [
        one for one in holders if one.sender_id != dead and one.held.flow.context.client_account_id == account
    ]


def liveness_among(row: Mapping[Any, Any], holders: Iterable[Holder]) -> Liveness | None:
    """Return how a flow stands with those who say to hold it; all who show, filter or count it ask this.

    The row has `flow_status` and what `living` asks for.
    """
    ages = [one.age_s for one in living(row, holders)]
    return liveness_of(str(row["flow_status"]), is_lost=bool(row["is_lost"]), sign_ages_s=ages)


async def read_liveness(redis: RedisLink | None, row: Mapping[Any, Any]) -> Liveness | None:
    """Return what is known of the processes that hold the flow of a row, as `liveness_among` takes it.

    While Redis is away, whoever may hold it counts as alive, for nobody can say otherwise.
    """
    try:
        return liveness_among(row, (await read_holders(redis)).of(row["flow_id"]) if redis else [])
    except RedisUnavailable:
        return liveness_of(row["flow_status"], is_lost=row["is_lost"], sign_ages_s=[0.0])


async def _ask(redis: Redis) -> tuple[float, list[tuple[bytes, float]], list[dict[bytes, bytes]]]:
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.time()
    pipeline.zrevrange(ALIVE_KEY, 0, _MOST_SENDERS - 1, withscores=True)
    (seconds, microseconds), senders = await pipeline.execute()
    fields: list[dict[bytes, bytes]] = []
    for start in range(0, len(senders), _AT_ONCE):
        pipeline = redis.pipeline(transaction=False)
        for name, _ in senders[start : start + _AT_ONCE]:
            pipeline.hgetall(holds_key(name.decode(errors="replace")))
        fields += await pipeline.execute()
    return seconds + microseconds / 1e6, senders, fields


def _seen(
    now_s: float,
    senders: Iterable[tuple[bytes, float]],
    hashes: Iterable[Mapping[bytes, bytes]],
    *,
    keys: SigningKeys,
) -> Iterable[tuple[UUID, Holder]]:
    for (name, at_s), fields in zip(senders, hashes, strict=True):
        texts = {
            key.decode(errors="replace"): value.decode(errors="replace") for key, value in fields.items()
        }
        sign = Sign.read(name.decode(errors="replace"), texts, keys)
        if sign is not None:
            for flow_id, held in sign.held.items():
                yield flow_id, Holder(sign.sender_id, sign.host, sign.age_s(now_s, at_s), held)
