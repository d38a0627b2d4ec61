import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from masterflow.domain.redis_keys import FLAG_KEY
from masterflow.repository.feature_flag import FeatureFlag, FlagState, Override
from masterflow.repository.redis.client import RedisUnavailable
from masterflow.repository.settings import RedisSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def make_flag(redis_url: str):
    made: list[FeatureFlag] = []

    def make(*, default: bool = True, url: str = redis_url) -> FeatureFlag:
        made.append(FeatureFlag(RedisSettings(redis_url=url, enrichment_enabled=default)))
        return made[-1]

    yield make
    for flag in made:
        await flag.close()


@pytest.fixture
async def redis(redis_url: str):
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.mark.parametrize("default", [True, False])
async def test_without_an_override_the_environment_decides(make_flag: Any, default: bool) -> None:
    flag = make_flag(default=default)
    assert await flag.is_enabled() is default
    assert await flag.show() == FlagState(enabled=default, default=default, override=None)


@pytest.mark.parametrize("default", [True, False])
async def test_an_override_wins_until_it_is_cleared(make_flag: Any, redis: Redis, default: bool) -> None:
    flag = make_flag(default=default)
    overrides: dict[Override, bool] = {"on": True, "off": False}
    for override, enabled in overrides.items():
        await flag.set_override(override)
        assert await redis.get(FLAG_KEY) == override.encode()
        assert await flag.is_enabled() is enabled
        assert await flag.show() == FlagState(enabled=enabled, default=default, override=override)
    await flag.set_override(None)
    assert await flag.is_enabled() is default
    assert await redis.keys() == []


async def test_another_process_sees_an_override_within_two_seconds(make_flag: Any) -> None:
    here, there = make_flag(), make_flag()
    assert await there.is_enabled()
    await here.set_override("off")
    started = time.monotonic()
    for _ in range(500):
        if not await there.is_enabled():
            break
        await asyncio.sleep(0.01)
    assert not await there.is_enabled()
    assert time.monotonic() - started < 3


async def test_the_flag_is_asked_for_once_in_two_seconds(make_flag: Any, redis: Redis) -> None:
    flag = make_flag()
    assert await flag.is_enabled()
    await redis.set(FLAG_KEY, "off")
    assert await flag.is_enabled()
    assert not (await flag.show()).enabled


async def test_a_word_that_is_neither_on_nor_off_is_ignored_and_logged(
    make_flag: Any, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set(FLAG_KEY, "perhaps")
    assert await make_flag(default=False).is_enabled() is False
    assert "neither on nor off" in caplog.text


@pytest.mark.parametrize("default", [True, False])
async def test_without_redis_the_environment_decides(make_flag: Any, default: bool) -> None:
    flag = make_flag(default=default, url="redis://localhost:1")
    assert await flag.is_enabled() is default
    with pytest.raises(RedisUnavailable):
        await flag.show()
    with pytest.raises(RedisUnavailable):
        await flag.set_override("off")


async def test_an_override_ends_where_redis_is_lost(make_flag: Any, redis_url: str) -> None:
    flag = make_flag(default=True)
    await flag.set_override("off")
    assert await flag.is_enabled() is False
    flag._link._settings = RedisSettings(redis_url="redis://localhost:1")
    await flag.close()
    flag._known_until = 0.0
    assert await flag.is_enabled() is True
