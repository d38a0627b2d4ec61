"""The rounds of the watch: what it sees of those who hold flows, and how long it has not heard of them.

A silence is counted in rounds, not by clocks: whatever stops rounds (beat, workers or Redis that stand still)
proves nothing, and a clock that steps costs a round at most.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from redis import Redis

from masterflow.domain.clock import MAX_AHEAD
from masterflow.domain.life.signs import SIGN_INTERVAL_S, SILENT_AFTER_S, Held, Sign
from masterflow.domain.redis_keys import ALIVE_KEY, ROUND_AT, WATCH_KEY, WATCH_LOCK_KEY, holds_key

#: What comes sooner after a round is another beat's.
_SHORTEST_ROUND_S: Final = 4.0

_LOCK_MS: Final = 30_000
_KEPT_S: Final = 86_400

_ROUNDS: Final = "rounds"
_SENDER: Final = "sender:"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds flows, as far as it has told."""

    sender_id: str
    sign: Sign | None
    #: In how many rounds in a row it has told nothing new, this one included.
    missed_rounds: int
    #: It was not heard of in the round before, or held less then: what it holds may stand as lost.
    is_new: bool = False

    @property
    def silent_s(self) -> float:
        """Return for how long it is known to be silent."""
        return self.missed_rounds * SIGN_INTERVAL_S

    @property
    def lives(self) -> bool:
        """Return whether it is not silent."""
        return self.sign is not None and self.silent_s < SILENT_AFTER_S

    @property
    def held(self) -> Mapping[UUID, Held]:
        """Return its flows."""
        return self.sign.held if self.sign else {}


@dataclass(frozen=True, slots=True)
class Round:
    """What is seen in one round."""

    number: int
    holders: list[Holder]

    def living(self, flow_id: UUID) -> Holder | None:
        """Return a living process that holds a flow."""
        return next((one for one in self.holders if one.lives and flow_id in one.held), None)


@contextmanager
def next_round(redis: "Redis") -> Iterator[Round | None]:
    """Yield what is to be seen, and None if it is too early or another round goes on; RedisErrors pass.

    The round counts from its beginning, also where it fails: what it found it finds again.
    """
    if not redis.set(WATCH_LOCK_KEY, "1", nx=True, px=_LOCK_MS):
        yield None
        return
    try:
        yield _begun(redis)
    finally:
        redis.delete(WATCH_LOCK_KEY)


def forget(redis: "Redis", holder: Holder) -> None:
    """Remove what a process told that is given up; should it live, it will tell all of it again."""
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.zrem(ALIVE_KEY, holder.sender_id)
    pipeline.delete(holds_key(holder.sender_id))
    pipeline.hdel(WATCH_KEY, f"{_SENDER}{holder.sender_id}")
    pipeline.execute()


def _begun(redis: "Redis") -> Round | None:
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(WATCH_KEY)
    pipeline.zrange(ALIVE_KEY, 0, -1)
    (seconds, microseconds), known, sender_ids = pipeline.execute()
    now_s = seconds + microseconds / 1e6
    if ROUND_AT in known and abs(now_s - float(known[ROUND_AT])) < _SHORTEST_ROUND_S:
        return None
    # What says that it comes from later would win over all that a flow reports, until then.
    latest = int((now_s + MAX_AHEAD.total_seconds()) * 1e6)
    signs = {
        sender_id: sign if sign and sign.moment <= latest else None
        for sender_id, sign in _signs(redis, sender_ids).items()
    }
    holders = [_holder(sign, sender_id, known) for sender_id, sign in signs.items()]
    number = int(known.get(_ROUNDS, 0)) + 1
    _note(redis, known, holders, {ROUND_AT: f"{now_s:.3f}", _ROUNDS: str(number)})
    return Round(number, holders)


def _signs(redis: "Redis", sender_ids: list[str]) -> dict[str, Sign | None]:
    pipeline: Any = redis.pipeline(transaction=False)
    for sender_id in sender_ids:
        pipeline.hgetall(holds_key(sender_id))
    return {
        sender_id: Sign.read(sender_id, fields)
        for sender_id, fields in zip(sender_ids, pipeline.execute(), strict=True)
    }


def _holder(sign: Sign | None, sender_id: str, known: Mapping[str, str]) -> Holder:
    if (noted := known.get(f"{_SENDER}{sender_id}")) is None:
        return Holder(sender_id, sign, 0, is_new=True)
    # Of an earlier version the number of flows is missing: as good as none.
    sequence, missed, held, *_ = (*noted.split(":"), "0", "0")
    if sign is not None and sequence != str(sign.sequence):
        # A sign that came late, out of a network that was cut, may bring back a process without its flows.
        return Holder(sender_id, sign, 0, is_new=int(missed) > 0 or len(sign.held) > int(held))
    return Holder(sender_id, sign, int(missed) + 1)


def _note(
    redis: "Redis", known: Mapping[str, str], holders: list[Holder], about_round: dict[str, str]
) -> None:
    senders = {
        f"{_SENDER}{one.sender_id}": (
            f"{one.sign.sequence if one.sign else 0}:{one.missed_rounds}:{len(one.held)}"
        )
        for one in holders
    }
    gone = [field for field in known if field.startswith(_SENDER) and field not in senders]
    pipeline: Any = redis.pipeline(transaction=False)
    if gone:
        pipeline.hdel(WATCH_KEY, *gone)
    pipeline.hset(WATCH_KEY, mapping={**about_round, **senders})
    pipeline.expire(WATCH_KEY, _KEPT_S)
    pipeline.execute()
