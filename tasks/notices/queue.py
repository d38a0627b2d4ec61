"""What receivers are still to be told, in Redis, each receiver's by itself, and what they never took.

Of each receiver there is a hash `waiting` of entries by the notice's id, and a sorted set `due`; the same two
of those it never took, `dead` and `dead_at`; and `known` and `known_at` of the ids that it was given last.
An entry is `{"text", "tries", "tried_at", "error", "key_id", "proof"}`; where the operators have keys, the
proof covers the receiver's name and the text, and what bears none is removed.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import ValidationError
from redis import Redis

from masterflow.domain.backoff import pause_s
from masterflow.domain.clock import uuid7
from masterflow.domain.redis_keys import notices_key
from masterflow.domain.signing.signatures import Keys, Signature, is_proof, sign
from masterflow.tasks.counters import Counters
from masterflow.tasks.notices.notice import Notice

#: Of each receiver, 4 KB each at most; beyond them the oldest go, and are counted.
MOST_WAITING: Final = 5_000
MOST_DEAD: Final = 2_000

# What comes again behind so many newer ones is told again, under its id: marks must not fill the broker.
_MOST_KNOWN: Final = 20_000

#: What a receiver does not take for so long is a dead letter.
TRIED_FOR_S: Final = 86_400

_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 3_600.0
_KEPT_S: Final = 31 * 86_400
_LEASE_MS: Final = 60_000
_MOST_BYTES: Final = 16_000
_AT_ONCE: Final = 20

#: What waits, or what a receiver never took.
Place = Literal["waiting", "dead"]
_ORDERS: Final = {"waiting": "due", "dead": "dead_at", "known": "known_at"}

#: Of a receiver: hashes, sorted sets, and what one process holds while it tells.
HASHES: Final = tuple(_ORDERS)
SORTED_SETS: Final = tuple(_ORDERS.values())
LEASE: Final = "lease"
#: Of all: what the watch was about to merge.
INTENDED: Final = "intended"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One notice for one receiver, and how often it was tried in vain."""

    notice: Notice
    text: str
    proof: Signature | None
    tries: int = 0
    #: When it was first tried, in seconds since 1970.
    tried_at: float | None = None
    error: str = ""

    def written(self) -> str:
        """Return it as it lies in Redis."""
        proof = {"key_id": self.proof.key_id, "proof": self.proof.value} if self.proof else {}
        fields = {"text": self.text, "tries": self.tries, "tried_at": self.tried_at, "error": self.error}
        return json.dumps(fields | proof, ensure_ascii=False)


class NoticeQueue:
    """The notices of all receivers; belongs to one thread, and a `RedisError` passes."""

    def __init__(self, redis: "Redis", keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._token = str(uuid7(time.time_ns() // 1000))
        self._leases = 0

    def add(self, receiver: str, notices: Sequence[Notice], *, now_s: float) -> int:
        """Hand over notices that this receiver was not given before; return how many."""
        if not notices:
            return 0
        known: Any = self._redis.hmget(notices_key("known", receiver), [str(one.id) for one in notices])
        fresh = [one for one, mark in zip(notices, known, strict=True) if mark is None]
        if not fresh:
            return 0
        pipeline: Any = self._redis.pipeline(transaction=True)
        for notice in fresh:
            entry = self._entry(receiver, notice)
            self._put(pipeline, "waiting", receiver, str(notice.id), entry.written(), at_s=now_s)
            self._put(pipeline, "known", receiver, str(notice.id), "1", at_s=now_s)
        pipeline.execute()
        self._trim("known", receiver, _MOST_KNOWN)
        self._drop_oldest("waiting", receiver, MOST_WAITING)
        return len(fresh)

    def lease(self, receiver: str) -> bool:
        """Return whether this may tell the receiver for the next minute, which one process does at a time."""
        self._leases += 1
        # Another text each time: one that stays the same for longer than a lease is nobody's, and is removed.
        key, text = notices_key(LEASE, receiver), f"{self._token}:{self._leases}"
        if self._redis.set(key, text, nx=True, px=_LEASE_MS):
            return True
        if not self._holds(key):
            return False
        self._redis.set(key, text, px=_LEASE_MS)
        return True

    def release(self, receiver: str) -> None:
        """Let others tell the receiver."""
        if self._holds(key := notices_key(LEASE, receiver)):
            self._redis.delete(key)

    def _holds(self, key: str) -> bool:
        found: Any = self._redis.getrange(key, 0, len(self._token) - 1)
        return bool(found == self._token)

    def due(self, receiver: str, *, now_s: float) -> list[Entry]:
        """Return notices that are due, those due for longest first; what is none of ours is removed."""
        ids: Any = self._redis.zrangebyscore(notices_key("due", receiver), "-inf", now_s, 0, _AT_ONCE)
        return self._read("waiting", receiver, ids)

    def read(self, place: Place, receiver: str) -> list[Entry]:
        """Return all notices in a place, oldest first."""
        ids: Any = self._redis.zrange(notices_key(_ORDERS[place], receiver), 0, -1)
        return self._read(place, receiver, ids)

    def told(self, receiver: str, notice_id: UUID) -> None:
        """Forget a notice that its receiver has taken."""
        self._remove("waiting", receiver, [str(notice_id)])
        self._count("sent")

    def failed(
        self, receiver: str, entry: Entry, error: str, *, now_s: float, is_final: bool = False
    ) -> float:
        """Note that it was tried in vain, and set it aside where that is the end; return the next pause."""
        first_s = entry.tried_at or now_s
        tried = replace(entry, tries=entry.tries + 1, tried_at=first_s, error=error[: _MOST_BYTES // 16])
        pause = pause_s(tried.tries, first_s=_FIRST_PAUSE_S, longest_s=_LONGEST_PAUSE_S)
        self._count("failed")
        if is_final or now_s - first_s > TRIED_FOR_S:
            self._move("dead", receiver, tried, at_s=now_s)
            self._drop_oldest("dead", receiver, MOST_DEAD)
            self._count("dead")
            _logger.error("Receiver %s never took notice %s (%s)", receiver, tried.notice.id, tried.error)
        else:
            self._move("waiting", receiver, tried, at_s=now_s + pause)
        return pause

    def replay(self, receiver: str, *, notice_id: UUID | None = None) -> int:
        """Let what a receiver never took wait again, all or one; return how many."""
        found = [one for one in self.read("dead", receiver) if notice_id in {None, one.notice.id}]
        for entry in found:
            self._move("waiting", receiver, replace(entry, tries=0, tried_at=None), at_s=time.time())
        return len(found)

    def drop(self, place: Place, receiver: str, *, notice_id: UUID | None = None) -> int:
        """Forget what lies in a place, all or one; return how many."""
        ids = [one.notice.id for one in self.read(place, receiver) if notice_id in {None, one.notice.id}]
        self._remove(place, receiver, [str(one) for one in ids])
        return len(ids)

    def intend(self, texts: Mapping[str, str]) -> None:
        """Note events that are about to be merged, by their ids, so that a crash hides none of them."""
        if not texts:
            return
        pipeline: Any = self._redis.pipeline(transaction=True)
        for event_id, text in texts.items():
            proof = sign("notice", ["intended", text], self._keys)
            signed = {"key_id": proof.key_id, "proof": proof.value} if proof else {}
            pipeline.hset(notices_key(INTENDED), event_id, json.dumps({"text": text, **signed}))
        pipeline.expire(notices_key(INTENDED), _KEPT_S)
        pipeline.execute()

    def intended(self) -> dict[str, str]:
        """Return the texts of what was noted so, by id; what is none of ours is removed."""
        noted: Any = self._redis.hgetall(notices_key(INTENDED))
        found = {event_id: _text_of(text, "intended", self._keys) for event_id, text in noted.items()}
        self._refuse(len(forged := [one for one, text in found.items() if text is None]))
        self.forget_intended(forged)
        return {event_id: text for event_id, text in found.items() if text is not None}

    def forget_intended(self, event_ids: Iterable[str]) -> None:
        """Forget what was noted, for it is handed over or was never merged."""
        if ids := list(event_ids):
            self._redis.hdel(notices_key(INTENDED), *ids)

    def _entry(self, receiver: str, notice: Notice) -> Entry:
        text = notice.model_dump_json()
        return Entry(notice, text, sign("notice", [receiver, text], self._keys))

    def _read(self, place: Place, receiver: str, ids: Sequence[str]) -> list[Entry]:
        found, forged = [], []
        for one in ids:
            key = notices_key(place, receiver)
            # What others put there may be of any size.
            size: Any = self._redis.hstrlen(key, one)
            text = self._redis.hget(key, one) if 0 < size <= _MOST_BYTES else None
            entry = self._believed(receiver, one, text)
            if entry is None:
                forged.append(one)
            else:
                found.append(entry)
        if forged:
            self._refuse(len(forged))
            self._remove(place, receiver, forged)
        return found

    def _believed(self, receiver: str, notice_id: str, written: Any) -> Entry | None:
        text = _text_of(written, receiver, self._keys)
        if text is None:
            return None
        fields = json.loads(written)
        try:
            notice = Notice.model_validate_json(text)
        except ValidationError:
            return None
        match fields:
            case {"tries": int(tries), "tried_at": float() | int() | None as at, "error": str(error)}:
                if str(notice.id) != notice_id:
                    return None
                return Entry(notice, text, _proof_of(fields), max(0, tries), at, error)
        return None

    def _put(
        self, pipeline: Any, place: str, receiver: str, notice_id: str, text: str, *, at_s: float
    ) -> None:
        entries, order = notices_key(place, receiver), notices_key(_ORDERS[place], receiver)
        pipeline.hset(entries, notice_id, text)
        pipeline.zadd(order, {notice_id: at_s})
        pipeline.expire(entries, _KEPT_S)
        pipeline.expire(order, _KEPT_S)

    def _move(self, place: Place, receiver: str, entry: Entry, *, at_s: float) -> None:
        """Put an entry into one place and nowhere else."""
        other: Place = "dead" if place == "waiting" else "waiting"
        pipeline: Any = self._redis.pipeline(transaction=True)
        self._put(pipeline, place, receiver, str(entry.notice.id), entry.written(), at_s=at_s)
        pipeline.hdel(notices_key(other, receiver), str(entry.notice.id))
        pipeline.zrem(notices_key(_ORDERS[other], receiver), str(entry.notice.id))
        pipeline.execute()

    def _remove(self, place: str, receiver: str, ids: Sequence[str]) -> None:
        if not ids:
            return
        pipeline: Any = self._redis.pipeline(transaction=True)
        pipeline.hdel(notices_key(place, receiver), *ids)
        pipeline.zrem(notices_key(_ORDERS[place], receiver), *ids)
        pipeline.execute()

    def _drop_oldest(self, place: Place, receiver: str, most: int) -> None:
        if count := self._trim(place, receiver, most):
            self._count("dropped", count)
            _logger.error("There are over %s notices for %s; %s had to go", most, receiver, count)

    def _trim(self, place: str, receiver: str, most: int) -> int:
        """Let the newest stay; return how many went."""
        order = notices_key(_ORDERS[place], receiver)
        count: Any = self._redis.zcard(order)
        ids: Any = self._redis.zrange(order, 0, count - most - 1) if count > most else []
        self._remove(place, receiver, ids)
        return len(ids)

    def _count(self, what: str, amount: int = 1) -> None:
        counters = Counters()
        counters.add(f"notices:{what}", amount)
        counters.flush(self._redis)

    def _refuse(self, count: int) -> None:
        if count:
            counters = Counters()
            counters.add("forged:notice", count)
            counters.flush(self._redis)
            _logger.warning("%s notices in Redis were none of ours, and are gone", count)


def _text_of(written: Any, receiver: str, keys: Keys) -> str | None:
    """Return the text that a worker has written for a receiver; None if it is no such thing."""
    try:
        fields = json.loads(written)
    except (TypeError, ValueError, RecursionError):
        return None
    match fields:
        case {"text": str(text)}:
            is_fine = not keys or is_proof("notice", [receiver, text], keys, _proof_of(fields))
            return text if is_fine else None
    return None


def _proof_of(fields: Mapping[str, Any]) -> Signature | None:
    match fields:
        case {"key_id": str(key_id), "proof": str(proof)}:
            return Signature(key_id, proof)
    return None
