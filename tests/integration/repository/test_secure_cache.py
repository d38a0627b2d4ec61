import asyncio
import base64
import json
import logging
import time
from uuid import uuid4

import pytest
from pydantic import JsonValue
from redis.asyncio import Redis

from masterflow.domain import FlowContext
from masterflow.repository.secure_cache import CHECKPOINT_TTL_S, STATE_TTL_S, SecureCache
from masterflow.repository.settings import RedisSettings
from masterflow.scripts.embedded import EmbeddedRedis

pytestmark = pytest.mark.anyio

TENANT = FlowContext(client_account_id=uuid4(), engagement_id=uuid4(), user_id="ana")
FLOW = uuid4()
VALUE: JsonValue = {"secret": "the plain text", "rows": [1, None, "ü"]}
OLD, NEW = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))


def cache_of(redis_url: str, *keys: str) -> SecureCache:
    return SecureCache(RedisSettings(redis_url=redis_url, cache_keys=",".join(keys) if keys else ()))


@pytest.fixture
async def cache(redis_url: str):
    cache = cache_of(redis_url, OLD)
    yield cache
    await cache.close()


@pytest.fixture
async def redis(redis_url: str):
    async with Redis.from_url(redis_url) as redis:
        yield redis


async def put(
    cache: SecureCache, value: JsonValue = VALUE, *, name: str = "state:1", ttl_s: int = 60
) -> None:
    await cache.put(TENANT, FLOW, name=name, value=value, ttl_s=ttl_s)


async def get(cache: SecureCache, *, name: str = "state:1") -> JsonValue:
    return await cache.get(TENANT, FLOW, name=name)


async def only_key(redis: Redis) -> str:
    (key,) = await redis.keys()
    return key.decode()


async def test_a_value_comes_back_as_it_was(cache: SecureCache) -> None:
    assert await get(cache) is None
    await put(cache)
    assert await get(cache) == VALUE


async def test_redis_never_sees_the_plain_text(cache: SecureCache, redis: Redis) -> None:
    await put(cache)
    key = await only_key(redis)
    stored = await redis.get(key)
    assert key.startswith("enrichment:cache:")
    assert stored is not None
    for plain in (b"secret", b"plain text", json.dumps(VALUE).encode()):
        assert plain not in stored
        assert base64.b64encode(plain)[:8] not in stored


async def test_the_same_value_is_never_stored_as_the_same_bytes(cache: SecureCache, redis: Redis) -> None:
    await put(cache)
    first = await redis.get(await only_key(redis))
    await put(cache)
    assert await redis.get(await only_key(redis)) != first


async def test_a_value_lives_as_long_as_it_is_said_to(cache: SecureCache, redis: Redis) -> None:
    assert (STATE_TTL_S, CHECKPOINT_TTL_S) == (300, 7200)
    for ttl_s in (STATE_TTL_S, CHECKPOINT_TTL_S):
        await put(cache, ttl_s=ttl_s)
        assert ttl_s - 5 < await redis.ttl(await only_key(redis)) <= ttl_s


async def test_an_expired_value_is_a_miss(cache: SecureCache, redis: Redis) -> None:
    await put(cache)
    await redis.expireat(await only_key(redis), 1)
    assert await get(cache) is None


@pytest.mark.parametrize("position", [0, 11, 12, 40, -1])
async def test_a_tampered_value_is_a_miss_and_logged_without_its_content(
    cache: SecureCache, redis: Redis, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    await put(cache)
    key = await only_key(redis)
    sealed = await redis.get(key)
    assert isinstance(sealed, bytes)
    stored = bytearray(sealed)
    stored[position] ^= 1
    await redis.set(key, bytes(stored))

    assert await get(cache) is None

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(FLOW) in record.getMessage()
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "stored", [b"", b"short", b"x" * 12, b"x" * 27, b'{"encrypted": false, "data": {"a": 1}}']
)
async def test_what_is_no_sealed_value_is_a_miss(cache: SecureCache, redis: Redis, stored: bytes) -> None:
    await put(cache)
    await redis.set(await only_key(redis), stored)
    assert await get(cache) is None


@pytest.mark.parametrize("part", ["client_account_id", "engagement_id", "flow", "name"])
async def test_a_value_moved_under_another_key_is_refused(
    cache: SecureCache, redis: Redis, part: str
) -> None:
    await put(cache)
    key = await only_key(redis)
    context = TENANT.model_copy(update={part: uuid4()}) if part.endswith("_id") else TENANT
    flow = uuid4() if part == "flow" else FLOW
    name = "state:2" if part == "name" else "state:1"
    await cache.put(context, flow, name=name, value={"theirs": 1}, ttl_s=60)
    (other,) = set(await redis.keys()) - {key.encode()}
    await redis.copy(key, other.decode(), replace=True)

    assert await cache.get(context, flow, name=name) is None


async def test_a_new_key_encrypts_while_the_old_one_still_decrypts(redis_url: str, redis: Redis) -> None:
    before, rotated, after = (cache_of(redis_url, *keys) for keys in ((OLD,), (NEW, OLD), (NEW,)))
    await put(before)
    assert await get(rotated) == VALUE
    assert await get(after) is None
    await put(rotated)
    assert await get(after) == VALUE
    assert await get(before) is None
    for cache in (before, rotated, after):
        await cache.close()


async def test_without_a_key_nothing_is_cached(redis_url: str, redis: Redis, cache: SecureCache) -> None:
    keyless = cache_of(redis_url)
    await put(keyless)
    assert await redis.keys() == []
    await put(cache)
    assert await get(keyless) is None


async def test_a_value_over_two_megabytes_is_not_cached(cache: SecureCache, redis: Redis) -> None:
    await put(cache, "x" * 2_000_001)
    assert await redis.keys() == []


async def test_an_absent_redis_is_a_quick_miss_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_of("redis://localhost:1", OLD)
    started = time.monotonic()
    for _ in range(100):
        await put(cache)
        assert await get(cache) is None
    assert time.monotonic() - started < 1
    assert len(caplog.records) == 1


async def test_a_redis_that_never_answers_is_a_miss_within_a_second(caplog: pytest.LogCaptureFixture) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    cache = cache_of(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", OLD)
    started = time.monotonic()
    for _ in range(20):
        await put(cache)
        assert await get(cache) is None
    assert time.monotonic() - started < 1
    assert len(caplog.records) == 1
    await cache.close()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_refuses_writes_is_a_miss(own_redis: EmbeddedRedis) -> None:
    cache = cache_of(own_redis.url, OLD)
    async with Redis.from_url(own_redis.url) as redis:
        await redis.config_set("maxmemory", 1)
        await put(cache)
        assert await redis.keys() == []
    await cache.close()


async def test_a_connection_that_redis_closed_meanwhile_costs_nothing(own_redis: EmbeddedRedis) -> None:
    cache = cache_of(own_redis.url, OLD)
    await put(cache)
    async with Redis.from_url(own_redis.url) as redis:
        await redis.client_kill_filter(_type="normal", skipme=True)
    assert await get(cache) == VALUE
    await cache.close()


async def test_a_cancelled_call_never_hands_its_answer_to_the_next_one(cache: SecureCache) -> None:
    await put(cache, "first" * 1000, name="first")
    await put(cache, "second", name="second")
    for steps in range(100):
        cancelled = asyncio.create_task(get(cache, name="first"))
        for _ in range(steps % 12):
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert await get(cache, name="second") == "second"


async def test_many_calls_at_once_each_get_their_own_answer(cache: SecureCache) -> None:
    names = [str(n) for n in range(50)]
    await asyncio.gather(*(put(cache, name, name=name) for name in names))
    assert await asyncio.gather(*(get(cache, name=name) for name in names)) == names


def test_a_cache_serves_one_event_loop_after_the_other(redis_url: str) -> None:
    cache = cache_of(redis_url, OLD)

    async def use() -> JsonValue:
        await put(cache)
        found = await get(cache)
        await cache.close()
        return found

    assert [asyncio.run(use()) for _ in range(3)] == [VALUE] * 3
