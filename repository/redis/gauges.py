"""What workers and outboxes left in Redis about themselves: counters, signs of life, what waits."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from typing import Any, Final

from redis.asyncio import Redis

from masterflow.domain.redis_keys import (
    COUNTERS_KEY,
    HEARTBEAT_NOTE,
    NOTES_KEY,
    OUTBOX_NOTE,
    OUTBOXES_KEY,
    PARKED_KEY,
    ROUND_AT,
    UNACKNOWLEDGED_KEY,
    WATCH_KEY,
    is_of_another_kind,
    note_key,
)
from masterflow.repository.redis.client import RedisLink
from masterflow.repository.redis.consumption import CONSUMPTION_NOTE, Consumption

_MOST_SIGNS: Final = 10_000

# Workers count some fifty things, under short names.
_MOST_COUNTERS: Final = 500
_LONGEST_NAME: Final = 100

# What is told where a key of ours holds another kind of value, in the order of the questions.
_NOTHING: Final[tuple[Any, ...]] = ({}, 0, 0, [], None, {}, None)

#: For how long what an outbox told holds.
BACKLOG_HOLDS_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class OutboxBacklog:
    """What one outbox has not seen confirmed, and what it lost since its process started."""

    events: int
    size_bytes: int
    lost_events: int
    #: Seconds since its oldest unconfirmed batch was put together.
    oldest_age_s: float
    #: Confirmations that proved nothing, since its process started.
    forged: int = 0


#: Upper bounds of the histograms that the workers keep, in seconds or events.
HISTOGRAM_BOUNDS: Final[dict[str, tuple[float, ...]]] = {
    "merge_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
    "batch_size": (1, 5, 20, 50, 100, 200, 500),
    "lag_seconds": (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
}


@dataclass(frozen=True, slots=True)
class WorkerGauges:
    """One look at Redis."""

    #: Sums since the first start, by field name, as `tasks/counters.py` says.
    counters: dict[str, float]
    #: Messages that workers have taken and not acknowledged, if Redis is the broker.
    unacknowledged: int
    parked: int
    #: Seconds since each worker, or beat, has shown that it lives.
    heartbeats: dict[str, float]
    #: Of the outboxes that had anything to tell within the last minute.
    backlogs: list[OutboxBacklog]
    #: Seconds since the last round of the watch; None if there was none within a day.
    watch_age_s: float | None = None
    #: What each worker takes, as it last said.
    consumptions: dict[str, Consumption] = field(default_factory=dict)


async def read_gauges(link: RedisLink) -> WorkerGauges:
    """Return what Redis holds now; raises RedisUnavailable when it does not answer."""
    fields, unacknowledged, parked, names, round_at, outboxes, there = await link.ask(_ask_numbers)
    signs = await _read_signs(link, [name.decode(errors="replace") for name in names])
    now = time.time()
    return WorkerGauges(
        counters=numbers_of(fields),
        unacknowledged=unacknowledged,
        parked=parked,
        heartbeats={
            name.removeprefix(HEARTBEAT_NOTE): age_s
            for name, at in signs.items()
            if name.startswith(HEARTBEAT_NOTE) and (age_s := _age_s(at, now_s=now)) is not None
        },
        backlogs=[
            backlog
            for note in (
                *outboxes.values(),
                # Of orchestrators that are older.
                *(note for name, note in signs.items() if name.startswith(OUTBOX_NOTE)),
            )
            if (backlog := _backlog(note, now, there_s=there[0]))
        ],
        consumptions={
            name.removeprefix(CONSUMPTION_NOTE): consumption
            for name, note in signs.items()
            if name.startswith(CONSUMPTION_NOTE) and (consumption := Consumption.parse(note))
        },
        watch_age_s=_age_s(round_at, now_s=there[0]),
    )


async def _ask_numbers(redis: Redis) -> list[Any]:
    pipeline = redis.pipeline(transaction=False)
    pipeline.hgetall(COUNTERS_KEY)
    pipeline.hlen(UNACKNOWLEDGED_KEY)
    pipeline.zcard(PARKED_KEY)
    pipeline.zrevrange(NOTES_KEY, 0, _MOST_SIGNS - 1)
    pipeline.hget(WATCH_KEY, ROUND_AT)
    pipeline.hgetall(OUTBOXES_KEY)
    pipeline.time()
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    return [_told(answer, nothing) for answer, nothing in zip(answers, _NOTHING, strict=True)]


def _told(answer: Any, nothing: Any) -> Any:
    """Return an answer, or nothing where somebody has put another kind of value; another error passes."""
    if is_of_another_kind(answer):
        return nothing
    if isinstance(answer, Exception):
        raise answer
    return answer


def numbers_of(fields: Mapping[Any, Any]) -> dict[str, float]:
    """Return the counters that are some: one word of somebody else must not hide all others."""
    found: dict[str, float] = {}
    for name, value in islice(fields.items(), _MOST_COUNTERS):
        try:
            number = float(value)
        except ValueError:
            continue
        if isfinite(number) and len(name) <= _LONGEST_NAME:
            found[name.decode(errors="replace") if isinstance(name, bytes) else name] = number
    return found


async def _read_signs(link: RedisLink, names: list[str]) -> dict[str, bytes]:
    if not names:
        return {}
    # Names stay for a while after what they stand for: see `tasks/heartbeats.py`.
    values: list[Any] = await link.ask(lambda redis: redis.mget(list(map(note_key, names))))
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _age_s(at: bytes | None, *, now_s: float) -> float | None:
    """Return how long ago a time was; None if there is none, or somebody else wrote it."""
    try:
        age_s = now_s - float(at or "")
    except ValueError:
        return None
    return max(0.0, age_s) if isfinite(age_s) else None


def is_stale(note: Mapping[str, Any], there_s: float) -> bool:
    """Return whether an outbox told this over a minute ago, by Redis's own clock."""
    return there_s - float(note.get("at", there_s)) > BACKLOG_HOLDS_S


def _backlog(note: bytes, now: float, *, there_s: float) -> OutboxBacklog | None:
    """Return what an outbox told within the last minute, or None: it is silent, or somebody else wrote it."""
    try:
        found: Mapping[str, Any] = json.loads(note)
        if is_stale(found, there_s):
            return None
        age_s = max(0.0, now - float(found["oldest_at"] or now))
        return OutboxBacklog(
            int(found["events"]),
            int(found["bytes"]),
            int(found["lost"]),
            oldest_age_s=age_s,
            forged=int(found.get("forged", 0)),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
