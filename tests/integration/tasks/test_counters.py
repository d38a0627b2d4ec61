from collections.abc import Iterator

import pytest
from redis import Redis

from masterflow.domain.redis_keys import COUNTERS_KEY
from masterflow.repository.redis.gauges import HISTOGRAM_BOUNDS
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.counters import Counters, read_counters


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def test_what_several_processes_count_adds_up(redis: Redis) -> None:
    for _ in range(3):
        counters = Counters()
        counters.add("applied", 5)
        counters.add("applied")
        counters.flush(redis)
        counters.flush(redis)
    assert read_counters(redis) == {"applied": 18}


def test_a_counter_that_never_counted_is_absent(redis: Redis) -> None:
    counters = Counters()
    counters.add("skipped", 0)
    counters.flush(redis)
    assert read_counters(redis) == {}


@pytest.mark.parametrize(
    ("value", "bound"), [(0, "0.005"), (0.005, "0.005"), (0.006, "0.01"), (30, "30"), (31, "inf")]
)
def test_a_value_is_counted_under_the_first_bound_it_does_not_exceed(
    redis: Redis, value: float, bound: str
) -> None:
    counters = Counters()
    counters.observe("merge_seconds", value)
    counters.flush(redis)
    expected = {"merge_seconds:count": 1, f"merge_seconds:le:{bound}": 1, "merge_seconds:sum": value}
    assert read_counters(redis) == {name: amount for name, amount in expected.items() if amount}


def test_the_bounds_of_every_histogram_rise() -> None:
    assert all(list(bounds) == sorted(set(bounds)) for bounds in HISTOGRAM_BOUNDS.values())


def test_what_redis_could_not_take_is_counted_later(own_redis: EmbeddedRedis) -> None:
    counters = Counters()
    with Redis.from_url(own_redis.url, decode_responses=True, socket_timeout=1) as client:
        own_redis.kill()
        counters.add("applied", 7)
        counters.flush(client)
        own_redis.start()
        counters.add("applied", 1)
        counters.flush(client)
        assert client.hget(COUNTERS_KEY, "applied") == "8"
