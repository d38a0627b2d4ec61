"""A link to Redis that may be away: it costs little then, and says so once a minute."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from masterflow.domain import TransientError
from masterflow.domain.signing.settings import SigningKeys
from masterflow.repository.redis.answers import bounded
from masterflow.repository.settings import RedisSettings

_log = logging.getLogger(__name__)

_ANSWER_TIMEOUT_S: Final = 0.5
# One that hangs must leave time for the next one, and for Redis itself.
_SENTINEL_TIMEOUT_S: Final = 0.2

_PAUSE_S: Final = 1.0
_LOG_INTERVAL_S: Final = 60.0

Answer = TypeVar("Answer")


class RedisUnavailable(TransientError):
    """Redis is away, too slow, or refused the command for now."""

    reason = "redis_unavailable"


class RedisLink:
    """Asks Redis without ever waiting long; usable from one event loop after the other."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._redis: Redis | None = None
        self._sentinels: list[Redis] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resume_at = 0.0
        self._log_at = 0.0

    @property
    def signing_keys(self) -> SigningKeys:
        """Return the keys of client accounts that are known here, which prove what their processes say."""
        return self._settings.signing_keys

    async def ask(self, command: Callable[[Redis], Awaitable[Answer]]) -> Answer:
        """Return the answer to a command; after a failure Redis is left alone for a second.

        Raises:
            RedisUnavailable: no answer within half a second, or an error instead of one.
        """
        if time.monotonic() < self._resume_at:
            raise RedisUnavailable("Redis did not answer a moment ago; try again in a second.")
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await command(self._client())
        except (RedisError, OSError) as error:
            self._resume_at = time.monotonic() + _PAUSE_S
            self._log_failure(error)
            raise RedisUnavailable(
                f"Redis does not answer ({type(error).__name__}); try again later."
            ) from error

    async def close(self) -> None:
        """Close the connections of the running loop."""
        redis, self._redis = self._redis, None
        if redis is not None and self._loop is asyncio.get_running_loop():
            for each in (redis, *self._sentinels):
                await each.aclose()

    def _client(self) -> Redis:
        loop = asyncio.get_running_loop()
        if self._redis is None or self._loop is not loop:
            self._loop, self._redis = loop, self._new_client()
        return self._redis

    def _new_client(self) -> Redis:
        address = self._settings.redis
        # One retry at once, for a connection that Redis closed while it was idle.
        options: dict[str, Any] = {"retry": Retry(NoBackoff(), 1), **_waits(_ANSWER_TIMEOUT_S)}
        options["retry_on_error"] = [RedisConnectionError]  # redis-py 5 tries nothing again that is not named
        options |= address.client_options
        if not address.is_sentinel:
            return bounded(Redis(**options))
        waits = {"retry": Retry(NoBackoff(), 0), **_waits(_SENTINEL_TIMEOUT_S)}
        sentinel = Sentinel(address.hosts, sentinel_kwargs=waits, **options)  # type: ignore[no-untyped-call]  # it has no annotations
        self._sentinels = sentinel.sentinels
        return bounded(sentinel.master_for(self._settings.sentinel_master))

    def _log_failure(self, error: Exception) -> None:
        if time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + _LOG_INTERVAL_S
            _log.warning(
                "Redis does not answer (%s: %.200s); going on without it.", type(error).__name__, error
            )


@asynccontextmanager
async def redis_link() -> AsyncIterator[RedisLink]:
    """Give a link to the Redis of the environment, for as long as it is needed."""
    link = RedisLink(RedisSettings())
    try:
        yield link
    finally:
        await link.close()


def _waits(timeout_s: float) -> dict[str, float]:
    return {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s}
