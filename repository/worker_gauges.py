"""What the workers left in Redis about themselves: counters, queue lengths, signs of life."""

import time
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from repository.redis_link import RedisLink

_PREFIX: Final = "enrichment:"
_HEARTBEAT: Final = f"{_PREFIX}heartbeat:"
_CONFIRMED: Final = f"{_PREFIX}confirmed:"

_QUEUES: Final = ("enrichment", "backfill", "enrichment.dead")

_SCANNED_KEYS: Final = 10_000

#: Upper bounds of the histograms that the workers keep, in seconds or events.
HISTOGRAM_BOUNDS: Final[dict[str, tuple[float, ...]]] = {
    "merge_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
    "batch_size": (1, 5, 20, 50, 100, 200, 500),
    "lag_seconds": (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
}


@dataclass(frozen=True, slots=True)
class WorkerGauges:
    """One look at Redis; with another broker than Redis the queues are 0 and the broker knows."""

    #: Sums since the first start, by field name, as `tasks/counters.py` says.
    counters: dict[str, float]
    #: Messages by queue; what a worker has taken and not yet acknowledged is `unacknowledged`.
    queues: dict[str, int]
    unacknowledged: int
    parked: int
    #: Senders with confirmations that they have not fetched yet.
    senders_with_confirmations: int
    #: Seconds since each worker, or beat, has shown that it lives.
    heartbeats: dict[str, float]


async def read_gauges(link: RedisLink) -> WorkerGauges:
    """Return what Redis holds now; raises RedisUnavailable when it does not answer."""
    fields, *lengths, unacknowledged, parked = await link.ask(_ask_numbers)
    names = await link.ask(_ask_names)
    beats = [name for name in names if name.startswith(_HEARTBEAT)]
    times = await link.ask(lambda redis: redis.mget(beats)) if beats else []
    now = time.time()
    return WorkerGauges(
        counters={name.decode(): float(value) for name, value in fields.items()},
        queues=dict(zip(_QUEUES, lengths, strict=True)),
        unacknowledged=unacknowledged,
        parked=parked,
        senders_with_confirmations=sum(name.startswith(_CONFIRMED) for name in names),
        heartbeats={
            name.removeprefix(_HEARTBEAT): max(0.0, now - float(at))
            for name, at in zip(beats, times, strict=True)
            if at is not None
        },
    )


async def _ask_numbers(redis: Redis) -> list[Any]:
    pipeline = redis.pipeline(transaction=False)
    pipeline.hgetall(f"{_PREFIX}counters")
    for name in _QUEUES:
        pipeline.llen(f"{_PREFIX}{name}")
    pipeline.hlen(f"{_PREFIX}unacked")
    pipeline.zcard(f"{_PREFIX}parked")
    answers: list[Any] = await pipeline.execute()
    return answers


async def _ask_names(redis: Redis) -> list[str]:
    names: list[str] = []
    for pattern in (f"{_HEARTBEAT}*", f"{_CONFIRMED}*"):
        async for name in redis.scan_iter(match=pattern, count=1_000):
            names.append(name.decode())
            if len(names) >= _SCANNED_KEYS:
                return names
    return names
