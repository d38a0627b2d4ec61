import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from masterflow.domain.redis_keys import COUNTERS_KEY, FLAG_KEY
from masterflow.domain.signing.signatures import sign
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


KEYS = {"worker_keys": {"new": "n" * 16, "old": "o" * 16}}


@pytest.fixture
async def signed_flag(redis_url: str) -> AsyncIterator[FeatureFlag]:
    flag = FeatureFlag(RedisSettings.model_validate({"redis_url": redis_url, **KEYS}))
    yield flag
    await flag.close()


async def test_with_keys_an_override_is_signed_and_believed(signed_flag: FeatureFlag, redis_url: str) -> None:
    other = FeatureFlag(RedisSettings.model_validate({"redis_url": redis_url, **KEYS}))
    for override in ("off", "on", None):
        await signed_flag.set_override(override)
        assert (await other.show()).override == override
    await other.close()


@pytest.mark.parametrize(
    "value",
    [
        "off",
        "[" * 400,
        "[" * 1_000_000,
        "\xff",
        "{}",
        '{"override": "off", "set_at": 1}',
        '{"override": "off", "set_at": 1, "key_id": "new", "proof": "00"}',
        '{"override": "off", "set_at": "now", "key_id": ["new"], "proof": {}}',
    ],
)
async def test_with_keys_nobody_else_can_switch_anything(
    signed_flag: FeatureFlag, redis: Redis, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    await redis.set(FLAG_KEY, value)
    assert await signed_flag.is_enabled()
    assert await redis.hget(COUNTERS_KEY, "forged:flag") == b"1"
    assert "ignored, and counts as cleared" in caplog.text


async def test_an_override_of_the_operators_cannot_be_put_back_once_it_was_changed(
    signed_flag: FeatureFlag, redis: Redis
) -> None:
    await signed_flag.set_override("off")
    former: Any = await redis.get(FLAG_KEY)
    await signed_flag.set_override(None)
    assert (await signed_flag.show()).enabled
    await redis.set(FLAG_KEY, former)
    assert (await signed_flag.show()).enabled


async def test_an_override_for_another_key_or_from_long_ago_is_refused(
    signed_flag: FeatureFlag, redis: Redis, redis_url: str
) -> None:
    stranger = FeatureFlag(
        RedisSettings.model_validate({"redis_url": redis_url, "worker_keys": {"new": "x" * 16}})
    )
    await stranger.set_override("off")
    await stranger.close()
    assert (await signed_flag.show()).enabled
    long_ago = (time.time_ns() - 32 * 86_400 * 10**9) // 1000
    signature = sign("flag", ["off", long_ago], signed_flag._settings.worker_keys)
    assert signature is not None
    proof = {"key_id": signature.key_id, "proof": signature.value}
    await redis.set(FLAG_KEY, json.dumps({"override": "off", "set_at": long_ago, **proof}))
    assert (await signed_flag.show()).enabled
