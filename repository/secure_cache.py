"""The encrypted cache in Redis: what cannot be proven to be this flow's own value is a miss."""

import json
import logging
import os
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import JsonValue

from masterflow.domain import FlowContext
from masterflow.domain.redis_keys import cache_key
from masterflow.repository.redis.client import RedisLink, RedisUnavailable
from masterflow.repository.settings import RedisSettings

_log = logging.getLogger(__name__)

STATE_TTL_S: Final = 300
CHECKPOINT_TTL_S: Final = 7200

_NONCE_BYTES: Final = 12
_MAX_VALUE_BYTES: Final = 2_000_000


class SecureCache:
    """Keeps JSON values of flows in Redis, encrypted; it never raises and never stores plaintext.

    A value is 12 bytes of nonce and its AES-256-GCM ciphertext, authenticated together with the key it stands
    under: client account, engagement, flow and name. So a value moved to another key does not decrypt.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._ciphers = [AESGCM(key) for key in settings.cache_keys]
        self._link = RedisLink(settings)

    async def get(self, context: FlowContext, flow_id: UUID, *, name: str) -> JsonValue:
        """Return the value, or None on a miss."""
        if not self._ciphers:
            return None
        key = _key(context, flow_id, name)
        try:
            sealed = await self._link.ask(lambda redis: redis.get(key))
        except RedisUnavailable:
            return None
        if not isinstance(sealed, bytes):
            return None
        opened = _open(self._ciphers, sealed, bound_to=key.encode())
        if opened is None:
            _log.warning(
                "A cached value of flow %s does not decrypt with any key; it counts as a miss.", flow_id
            )
            return None
        value: JsonValue = json.loads(opened)
        return value

    async def put(
        self, context: FlowContext, flow_id: UUID, *, name: str, value: JsonValue, ttl_s: int
    ) -> None:
        """Keep a value for `ttl_s` seconds, unless it is over 2 MB or no key is configured."""
        plain = json.dumps(value, separators=(",", ":")).encode() if self._ciphers else b""
        if not 0 < len(plain) <= _MAX_VALUE_BYTES:
            return
        key = _key(context, flow_id, name)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[0].encrypt(nonce, plain, key.encode())
        try:
            await self._link.ask(lambda redis: redis.set(key, sealed, ex=ttl_s))
        except RedisUnavailable:
            return

    async def close(self) -> None:
        """Close the connections of the running loop."""
        await self._link.close()


def _key(context: FlowContext, flow_id: UUID, name: str) -> str:
    return cache_key(context.client_account_id, context.engagement_id, flow_id, name=name)


def _open(ciphers: Iterable[AESGCM], sealed: bytes, *, bound_to: bytes) -> bytes | None:
    """Return what the first fitting key decrypts, or None."""
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    if len(nonce) < _NONCE_BYTES:
        return None
    for cipher in ciphers:
        try:
            return cipher.decrypt(nonce, ciphertext, bound_to)
        except InvalidTag:
            continue
    return None
