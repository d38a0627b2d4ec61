"""The switch of enrichment: the environment's value, unless Redis holds another one."""

import logging
import time
from dataclasses import dataclass
from typing import Final, Literal

from masterflow.domain.redis_keys import FLAG_KEY
from masterflow.repository.redis.client import RedisLink, RedisUnavailable
from masterflow.repository.settings import RedisSettings

_log = logging.getLogger(__name__)

_CACHED_S: Final = 2.0

Override = Literal["on", "off"]


@dataclass(frozen=True)
class FlagState:
    """What the flag is, and why."""

    enabled: bool
    default: bool
    override: Override | None


class FeatureFlag:
    """Tells whether enrichment is on; a change in Redis is seen by every process within two seconds."""

    def __init__(self, settings: RedisSettings) -> None:
        self._default = settings.enrichment_enabled
        self._link = RedisLink(settings)
        self._enabled = self._default
        self._known_until = 0.0

    async def is_enabled(self) -> bool:
        """Return the flag; without Redis it is the environment's value."""
        if time.monotonic() >= self._known_until:
            try:
                self._enabled = (await self.show()).enabled
            except RedisUnavailable:
                self._enabled = self._default
            self._known_until = time.monotonic() + _CACHED_S
        return self._enabled

    async def show(self) -> FlagState:
        """Return the flag as it is now, or raise `RedisUnavailable` when nobody can tell."""
        override = _override(await self._link.ask(lambda redis: redis.get(FLAG_KEY)))
        return FlagState(
            enabled=self._default if override is None else override == "on",
            default=self._default,
            override=override,
        )

    async def set_override(self, override: Override | None) -> None:
        """Switch all processes on or off, or with None back to what their environment says.

        What raises `RedisUnavailable` was not done.
        """
        if override is None:
            await self._link.ask(lambda redis: redis.delete(FLAG_KEY))
        else:
            await self._link.ask(lambda redis: redis.set(FLAG_KEY, override))
        self._known_until = 0.0

    async def close(self) -> None:
        """Close the connections of the running loop."""
        await self._link.close()


def _override(value: bytes | str | None) -> Override | None:
    match value:
        case None:
            return None
        case b"on":
            return "on"
        case b"off":
            return "off"
    _log.warning("%s in Redis is neither on nor off; it is ignored.", FLAG_KEY)
    return None
