"""How often a batch was tried, and since when: what the broker does not know.

One JSON text on Redis per batch: `first_seen` (microseconds since 1970), `tries`, `lost` (tries in a row
after which the worker said nothing more), `committed`, and a proof with the key that the batch was signed
with. What proves nothing, like anything that is no such text, counts as none: the next try is the first.
Without keys whatever has the right form is believed. Without Redis every try is the first.
"""

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from redis import Redis, RedisError, ResponseError

from masterflow.domain.clock import from_microseconds, to_microseconds
from masterflow.domain.redis_keys import attempt_key, is_of_another_kind
from masterflow.domain.signing.signatures import Signature
from masterflow.domain.signing.signer import Signer

#: A batch that ends its worker so often in a row is set aside.
MAX_LOST: Final = 20

_KEPT_S: Final = 600
_MOST_BYTES: Final = 400

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to apply a batch."""

    batch_id: str
    first_seen: datetime
    #: 1 is the first.
    number: int = 1
    lost: int = 0
    was_committed: bool = False
    #: Who vouches for it.
    signer: Signer = field(default_factory=Signer, repr=False)


def begin_attempt(redis: "Redis", batch_id: str, signer: Signer, *, now: datetime) -> Attempt:
    """Note that a batch is tried now; the note is kept for ten minutes."""
    try:
        attempt = _next(_read(redis, batch_id), batch_id, signer, now)
        _write(redis, attempt, lost=attempt.lost + 1)
    except RedisError as error:
        _logger.warning("Redis does not say how often batch %s was tried: %s", batch_id, error)
        return Attempt(batch_id, now, signer=signer)
    return attempt


def seed_attempt(redis: "Redis", batch_id: str, signer: Signer, *, first_seen: datetime, tries: int) -> None:
    """Let a batch that is sent again as a new one keep its past; a `RedisError` passes."""
    _write(redis, Attempt(batch_id, first_seen, tries, signer=signer), lost=0)


def end_attempt(pipeline: Any, attempt: Attempt, *, is_committed: bool) -> None:
    """Note, along with a Redis pipeline, that the worker lived to give the batch back or to commit it."""
    _write(pipeline, attempt, lost=0, committed=is_committed or attempt.was_committed)


def _read(redis: "Redis", batch_id: str) -> dict[str, Any]:
    try:
        text: Any = redis.getrange(attempt_key(batch_id), 0, _MOST_BYTES)
        found = json.loads(text or "{}")
    except ResponseError as error:
        if not is_of_another_kind(error):
            raise
        return {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _next(found: dict[str, Any], batch_id: str, signer: Signer, now: datetime) -> Attempt:
    """Return the attempt after the one that is noted."""
    match found:
        case {"first_seen": int(first_seen), "tries": int(tries), "lost": int(lost)}:
            committed = found.get("committed") is True
            signature = Signature(str(found.get("key_id")), str(found.get("proof")))
            fields = _fields(batch_id, first_seen, tries, lost, committed=committed)
            # Nothing was first seen in the future.
            if first_seen >= 0 and 0 <= lost <= tries and signer.accepts("attempt", fields, signature):
                seen_at = from_microseconds(min(first_seen, to_microseconds(now)))
                return Attempt(batch_id, seen_at, tries + 1, lost, committed, signer)
    return Attempt(batch_id, now, signer=signer)


def _write(redis: Any, attempt: Attempt, *, lost: int, committed: bool | None = None) -> None:
    is_committed = attempt.was_committed if committed is None else committed
    first_seen = to_microseconds(attempt.first_seen)
    note = {"first_seen": first_seen, "tries": attempt.number, "lost": lost, "committed": is_committed}
    fields = _fields(attempt.batch_id, first_seen, attempt.number, lost, committed=is_committed)
    if signature := attempt.signer.sign("attempt", fields):
        note |= {"key_id": signature.key_id, "proof": signature.value}  # type: ignore[dict-item]
    redis.set(attempt_key(attempt.batch_id), json.dumps(note), ex=_KEPT_S)


def _fields(
    batch_id: str, first_seen: int, tries: int, lost: int, *, committed: bool
) -> list[str | int | bytes]:
    return [batch_id, first_seen, tries, lost, int(committed)]
