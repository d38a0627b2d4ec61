"""What workers tell the processes of a tenant, read from Redis by the sender's thread."""

import time
from collections.abc import Iterable
from typing import Any, Final, Protocol
from uuid import UUID

import redis

from masterflow.domain import InputInvalid, SignatureInvalid
from masterflow.domain.backoff import Backoff
from masterflow.domain.redis_keys import told_key
from masterflow.domain.signing.settings import keys_of
from masterflow.domain.signing.signatures import Signature, verify
from masterflow.tasks.enqueue import AnswerTooLarge, QueueSettings, redis_client
from masterflow.tracker.control.registry import ControlRegistry, Tenant
from masterflow.tracker.control.requests import read_message

_POLL_INTERVAL_S: Final = 0.5

#: A process that begins to read is told what was said just before; the rest comes again with a report.
_LOOK_BACK_MS: Final = 60_000

#: Redis's clock was set back, or it was emptied and runs on another host.
_MOST_AHEAD_MS: Final = 5_000

_MOST_AT_ONCE: Final = 200


class Log(Protocol):
    """Whatever logs a topic once a minute."""

    def warning(self, topic: str, text: str, *values: object) -> None:
        """Log it, unless the topic was logged within the minute."""


class ControlInbox:
    """The streams of the tenants that have flows in this process; belongs to one thread.

    It asks twice a second while there are any, for all tenants at once, and never waits for news.
    """

    def __init__(self, settings: QueueSettings, registry: ControlRegistry, log: Log) -> None:
        self._redis = redis_client(settings)
        self._keys = settings.signing_keys
        self._registry = registry
        self._log = log
        self._read_to: dict[Tenant, str] = {}
        self._poll_at = 0.0
        self._backoff = Backoff()
        #: How many messages bore no proof that a worker wrote them.
        self.refused = 0

    def due_in_s(self) -> float | None:
        """Return when to look next; None while this process has no flow that could be told anything."""
        due_in_s = max(self._poll_at, self._backoff.retry_at) - time.monotonic()
        # Only when it is time: who asks in between need not know whether the last flow has just ended.
        if due_in_s <= 0 and not self._registry.tenants():
            self._read_to.clear()
            return None
        return max(0.0, due_in_s)

    def receive(self) -> None:
        """Hand what is new to the flows, if it is time to look; a Redis that is away is asked later."""
        due_in_s = self.due_in_s()
        if due_in_s is None or due_in_s > 0:
            return
        self._poll_at = time.monotonic() + _POLL_INTERVAL_S
        try:
            while self._receive_some(sorted(self._registry.tenants())):
                pass
        except redis.RedisError as error:
            self._backoff.note_failure()
            self._log.warning("control", "Redis does not say what flows are to do: %r", error)
        else:
            self._backoff.note_success()

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _receive_some(self, tenants: list[Tenant]) -> bool:
        """Take what is new; return whether there may be more.

        Raises:
            AnswerTooLarge: it is more than workers tell; all that is there by now is passed over.
        """
        if missing := [tenant for tenant in tenants if tenant not in self._read_to]:
            now_ms = self._server_ms(self._redis.time())
            self._read_to |= dict.fromkeys(missing, str(max(0, now_ms - _LOOK_BACK_MS)))
        pipeline: Any = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.xread({told_key(*one): self._read_to[one] for one in tenants}, count=_MOST_AT_ONCE)
        try:
            server_time, streams = pipeline.execute()
        except AnswerTooLarge:
            self._pass_over(tenants)
            raise
        self._forget_what_is_ahead(self._server_ms(server_time))
        by_key = {told_key(*one): one for one in tenants}
        found = list(streams.items() if isinstance(streams, dict) else streams or ())
        for key, entries in found:
            tenant = by_key[key]
            for entry_id, fields in entries:
                self._read_to[tenant] = entry_id
                self._take(tenant, fields or {})
        return any(len(entries) >= _MOST_AT_ONCE for _, entries in found)

    def _pass_over(self, tenants: Iterable[Tenant]) -> None:
        """Read on from now: what is passed over without need comes again with a report of its flow."""
        # Something may come within this very millisecond.
        before_ms = self._server_ms(self._redis.time()) - 1
        self._read_to |= dict.fromkeys(tenants, str(before_ms))

    def _take(self, tenant: Tenant, fields: dict[str, str]) -> None:
        flow_id, text = fields.get("flow_id", ""), fields.get("message", "")
        try:
            self._check(tenant, flow_id, text, fields)
            self._registry.deliver(tenant, UUID(flow_id), read_message(text))
        except SignatureInvalid as error:
            self.refused += 1
            self._log.warning("control signature", "What a flow was told is ignored: %s", error)
        except (InputInvalid, ValueError) as error:
            self._log.warning("control", "What a flow was told is ignored: %s", error)

    def _check(self, tenant: Tenant, flow_id: str, text: str, fields: dict[str, str]) -> None:
        keys = keys_of(self._keys, tenant[0])
        if keys:
            key_id, value = fields.get("key_id"), fields.get("signature")
            proof = Signature(key_id, value) if key_id and value else None
            verify("control", [flow_id, text], keys, proof)

    def _forget_what_is_ahead(self, now_ms: int) -> None:
        """Begin anew where the server's clock is behind what was read; what comes twice changes nothing."""
        for tenant, entry_id in list(self._read_to.items()):
            if int(entry_id.partition("-")[0]) > now_ms + _MOST_AHEAD_MS:
                self._read_to[tenant] = str(max(0, now_ms - _LOOK_BACK_MS))

    @staticmethod
    def _server_ms(answer: Iterable[int]) -> int:
        seconds, microseconds = answer
        return seconds * 1000 + microseconds // 1000
