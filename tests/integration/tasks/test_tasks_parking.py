import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis

from masterflow.domain.redis_keys import COUNTERS_KEY, PARKED_KEY
from masterflow.domain.signing.signatures import Keys
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.counters import read_counters
from masterflow.tasks.delivery.parking import MAX_PARKED, MAX_PARKED_CHARS, park, release_due
from masterflow.tasks.enqueue import BrokerUnavailable

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def message(number: int) -> dict[str, Any]:
    return {"task": "enrichment.apply_events", "message_id": str(number), "kwargs": {"events": "[]"}}


def released(redis: Redis, *, after_s: float) -> list[str]:
    sent: list[str] = []
    release_due(redis, lambda one: sent.append(one["message_id"]), now=NOW + timedelta(seconds=after_s))
    return sent


def test_a_parked_message_is_released_when_it_is_due_and_once(redis: Redis) -> None:
    assert park(redis, message(1), now=NOW, waited_s=0)
    assert released(redis, after_s=0.4) == []
    assert released(redis, after_s=0.6) == ["1"]
    assert released(redis, after_s=99) == []
    assert redis.exists(PARKED_KEY) == 0


@pytest.mark.parametrize(("waited_s", "delay_s"), [(0, 0.5), (1, 0.5), (8, 4), (60, 10)])
def test_the_longer_a_message_has_waited_the_longer_it_waits(
    redis: Redis, waited_s: float, delay_s: float
) -> None:
    park(redis, message(1), now=NOW, waited_s=waited_s)
    assert released(redis, after_s=delay_s - 0.1) == []
    assert released(redis, after_s=delay_s) == ["1"]


def test_the_same_message_is_parked_once(redis: Redis) -> None:
    for _ in range(3):
        park(redis, message(1), now=NOW, waited_s=0)
    assert released(redis, after_s=1) == ["1"]


def test_a_message_stays_until_it_is_sent(redis: Redis) -> None:
    park(redis, message(1), now=NOW, waited_s=0)

    def fail(_: object) -> None:
        raise OSError("The broker is away.")

    with pytest.raises(OSError, match="away"):
        release_due(redis, fail, now=NOW + timedelta(seconds=1))
    assert redis.zcard(PARKED_KEY) == 1


def test_one_worker_at_a_time_releases(redis: Redis) -> None:
    for number in range(3):
        park(redis, message(number), now=NOW, waited_s=0)
    inner: list[str] = []
    outer: list[str] = []

    def send(one: dict[str, Any]) -> None:
        outer.append(one["message_id"])
        inner.extend(released(redis, after_s=1))

    release_due(redis, send, now=NOW + timedelta(seconds=1))
    assert (sorted(outer), inner) == (["0", "1", "2"], [])


def test_there_is_room_for_so_many_and_no_more(redis: Redis) -> None:
    redis.zadd(PARKED_KEY, {json.dumps(message(number)): 0 for number in range(MAX_PARKED)})
    assert not park(redis, message(-1), now=NOW, waited_s=0)


def test_without_redis_nothing_is_parked(own_redis: EmbeddedRedis) -> None:
    own_redis.stop()
    with Redis.from_url(own_redis.url) as redis, pytest.raises(BrokerUnavailable):
        park(redis, message(1), now=NOW, waited_s=0)


KEYS: Keys = {"workers": SecretStr("w" * 16)}
FORGERIES = [
    "[" * 100_000,
    "no JSON",
    "{}",
    "5",
    json.dumps({"task": "celery.map", "message_id": "x", "kwargs": {}}),
    json.dumps({"task": ["enrichment.apply_events"], "message_id": "x", "kwargs": {}}),
]


@pytest.mark.parametrize("keys", [{}, KEYS])
def test_junk_among_what_is_parked_holds_up_nothing_and_is_counted(redis: Redis, keys: Keys) -> None:
    redis.zadd(PARKED_KEY, dict.fromkeys(FORGERIES, 0))
    park(redis, message(1), keys, now=NOW, waited_s=0)
    sent: list[dict[str, Any]] = []
    release_due(redis, sent.append, keys, now=NOW + timedelta(seconds=1))
    assert sent == [message(1)]
    assert redis.zcard(PARKED_KEY) == 0
    assert float(redis.hget(COUNTERS_KEY, "forged:parked") or 0) == len(FORGERIES)


def test_with_keys_only_what_a_worker_has_parked_is_sent(redis: Redis) -> None:
    park(redis, message(1), now=NOW, waited_s=0)
    park(redis, message(2), {"workers": SecretStr("x" * 16)}, now=NOW, waited_s=0)
    sent: list[dict[str, Any]] = []
    assert release_due(redis, sent.append, KEYS, now=NOW + timedelta(seconds=1)) == 0
    assert (sent, redis.zcard(PARKED_KEY)) == ([], 0)


def test_what_is_never_due_takes_no_room(redis: Redis) -> None:
    redis.zadd(PARKED_KEY, {f"{number}": 1e15 for number in range(MAX_PARKED)})
    release_due(redis, lambda _: None, now=NOW)
    assert park(redis, message(1), now=NOW, waited_s=0)


def test_what_is_too_large_does_not_wait_here(redis: Redis) -> None:
    large = {**message(1), "kwargs": {"events": "x" * MAX_PARKED_CHARS}}
    assert not park(redis, large, now=NOW, waited_s=0)
    redis.zadd(PARKED_KEY, {json.dumps(large): 0, json.dumps(message(2)): 1})
    assert released(redis, after_s=1) == ["2"]
    assert read_counters(redis)["forged:parked"] == 1


def test_a_flood_takes_the_room_of_what_is_parked_only_for_a_moment(redis: Redis) -> None:
    redis.zadd(PARKED_KEY, {f"junk {number}": 0 for number in range(3 * MAX_PARKED)})
    assert not park(redis, message(1), now=NOW, waited_s=0)
    assert released(redis, after_s=1) == []
    assert read_counters(redis)["forged:parked"] == 3 * MAX_PARKED
    assert park(redis, message(1), now=NOW, waited_s=0)
    assert released(redis, after_s=2) == ["1"]


def test_a_counter_that_somebody_broke_holds_up_nothing(redis: Redis) -> None:
    redis.set(COUNTERS_KEY, "x")
    redis.zadd(PARKED_KEY, {"junk": 0})
    park(redis, message(1), now=NOW, waited_s=0)
    assert released(redis, after_s=1) == ["1"]
