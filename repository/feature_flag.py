"""The switch of enrichment: the environment's value, unless Redis holds another one.

Where the operators have keys, Redis holds `{"override", "set_at", "key_id", "proof"}`, and nothing else
counts: somebody else's word is refused, and so is an older one than was seen before, or one from before
ENRICHMENT_SIGNATURE_DAYS. Without keys it holds `on` or `off`.
"""

import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from masterflow.domain.errors import SignatureInvalid
from masterflow.domain.redis_keys import COUNTERS_KEY, FLAG_KEY
from masterflow.domain.signing.signatures import Signature, sign, verify
from masterflow.repository.redis.client import RedisLink, RedisUnavailable
from masterflow.repository.settings import RedisSettings

_log = logging.getLogger(__name__)

_CACHED_S: Final = 2.0
_QUIET_S: Final = 60.0
_MOST_BYTES: Final = 500

#: Counts what was refused because nobody with a key had written it.
_FORGED: Final = "forged:flag"

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
        self._settings = settings
        self._default = settings.enrichment_enabled
        self._link = RedisLink(settings)
        self._enabled = self._default
        self._known_until = 0.0
        #: When the newest override that was seen was set, in microseconds since 1970.
        self._seen_at = 0
        self._warned_at = -_QUIET_S

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
        # No override is longer, and nobody shall fill our memory.
        value = await self._link.ask(lambda redis: redis.getrange(FLAG_KEY, 0, _MOST_BYTES))
        override = await self._believed(value) if self._settings.worker_keys else _override(value or None)
        return FlagState(
            enabled=self._default if override is None else override == "on",
            default=self._default,
            override=override,
        )

    async def set_override(self, override: Override | None) -> None:
        """Switch all processes on or off, or with None back to what their environment says.

        What raises `RedisUnavailable` was not done.
        """
        if override is None and not self._settings.worker_keys:
            await self._link.ask(lambda redis: redis.delete(FLAG_KEY))
        else:
            text = self._signed(override)
            await self._link.ask(lambda redis: redis.set(FLAG_KEY, text))
        self._known_until = 0.0

    async def close(self) -> None:
        """Close the connections of the running loop."""
        await self._link.close()

    def _signed(self, override: Override | None) -> str:
        """Return what is put into Redis; that it was cleared is signed too, and wins over what was before."""
        set_at = time.time_ns() // 1000
        signature = sign("flag", [override or "", set_at], self._settings.worker_keys)
        if signature is None:
            return str(override)
        proof = {"key_id": signature.key_id, "proof": signature.value}
        return json.dumps({"override": override, "set_at": set_at, **proof})

    async def _believed(self, value: bytes | str) -> Override | None:
        """Return the override that an operator has set; a forged one is counted, and none."""
        if not value:
            return None
        try:
            override, self._seen_at = self._verified(json.loads(value))
        except (SignatureInvalid, RecursionError, ValueError) as error:
            await self._link.ask(lambda redis: redis.hincrbyfloat(COUNTERS_KEY, _FORGED, 1))
            if time.monotonic() - self._warned_at >= _QUIET_S:
                self._warned_at = time.monotonic()
                reason = error if isinstance(error, SignatureInvalid) else "It is no override."
                _log.warning("%s in Redis is ignored, and counts as cleared: %s", FLAG_KEY, reason)
            return None
        return override

    def _verified(self, found: Any) -> tuple[Override | None, int]:
        match found:
            case {"override": "on" | "off" | None as override, "set_at": int(set_at)}:
                signature = Signature(str(found.get("key_id")), str(found.get("proof")))
                verify("flag", [override or "", set_at], self._settings.worker_keys, signature)
                self._settings.check_age(set_at, now=datetime.now(UTC))
                if set_at < self._seen_at:
                    raise SignatureInvalid("A newer one was there before.")
                return override, set_at
        raise SignatureInvalid("It bears no signature.")


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
