"""The rounds of the watch: what it sees of those who hold flows, and how long it has not heard of them.

A silence is counted in rounds, not by clocks: whatever stops rounds (beat, workers or Redis that stand still)
proves nothing, and a clock that steps costs a round at most.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from redis import Redis

from masterflow.domain.clock import MAX_AHEAD
from masterflow.domain.life.signs import SIGN_INTERVAL_S, SILENT_AFTER_S, Held, Sign
from masterflow.domain.redis_keys import (
    ALIVE_KEY,
    COUNTERS_KEY,
    ROUND_AT,
    WATCH_KEY,
    WATCH_LOCK_KEY,
    holds_key,
)
from masterflow.domain.signing.settings import SigningKeys
from masterflow.tasks.guards.answers import AnswerTooLarge

#: What comes sooner after a round is another beat's.
_SHORTEST_ROUND_S: Final = 4.0

_LOCK_MS: Final = 30_000
_KEPT_S: Final = 86_400

#: No clock of a server jumps by less when it is set, and none of ours is wrong by more.
_STEP_S: Final = 5.0

#: Whoever reaches Redis may have written any number.
_LARGEST: Final = 1e12

# Processes whose signs are read together: a tenth of a megabyte each, as of 200 flows, is usual.
_AT_ONCE: Final = 20

_ROUNDS: Final = "rounds"
_SENDER: Final = "sender:"
_FORGED: Final = "forged:sign"


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

    def has_been_silent(self, now_s: float, for_s: float) -> bool:
        """Return whether nothing was heard of it for so long.

        Rounds that somebody hurries on without a key, or says to have been, cannot make a proven sign older
        than it is. One from a time to come shows that the server's clock went back: then only rounds count.
        """
        if self.silent_s < for_s:
            return False
        if self.sign is None or not self.sign.is_proven or self.sign.at_ms is None:
            return True
        age_s = now_s - self.sign.at_ms / 1_000
        return age_s < -_STEP_S or age_s >= for_s * _SHORTEST_ROUND_S / SIGN_INTERVAL_S

    @property
    def held(self) -> Mapping[UUID, Held]:
        """Return its flows."""
        return self.sign.held if self.sign else {}


@dataclass(frozen=True, slots=True)
class Round:
    """What is seen in one round."""

    number: int
    holders: list[Holder]
    #: By the server's clock.
    now_s: float
    #: The senders of signs of which something was refused, and is removed.
    refused: list[str] = field(default_factory=list)

    def living(self, flow_id: UUID, client_account_id: UUID) -> Holder | None:
        """Return a living process that holds a flow for the account whose flow it is."""
        for one in self.holders:
            held = one.held.get(flow_id) if one.lives else None
            if held is not None and held.flow.context.client_account_id == client_account_id:
                return one
        return None

    def lost(self, after_s: float) -> list[Holder]:
        """Return the processes that were silent for so long."""
        return [one for one in self.holders if one.has_been_silent(self.now_s, after_s)]


@contextmanager
def next_round(redis: "Redis", keys: SigningKeys) -> Iterator[Round | None]:
    """Yield what is to be seen, and None if it is too early or another round goes on; RedisErrors pass.

    With keys, what bears no proof that fits is removed: should its process live, it tells all of it again.

    The round counts from its beginning, also where it fails: what it found it finds again.
    """
    if not redis.set(WATCH_LOCK_KEY, "1", nx=True, px=_LOCK_MS):
        yield None
        return
    try:
        yield _begun(redis, keys)
    finally:
        redis.delete(WATCH_LOCK_KEY)


def forget(redis: "Redis", holder: Holder) -> None:
    """Remove what a process told that is given up; should it live, it will tell all of it again."""
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.zrem(ALIVE_KEY, holder.sender_id)
    pipeline.delete(holds_key(holder.sender_id))
    pipeline.hdel(WATCH_KEY, f"{_SENDER}{holder.sender_id}")
    pipeline.execute()


def _begun(redis: "Redis", keys: SigningKeys) -> Round | None:
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(WATCH_KEY)
    pipeline.zrange(ALIVE_KEY, 0, -1)
    try:
        (seconds, microseconds), known, sender_ids = pipeline.execute()
    except AnswerTooLarge:
        # Whoever lives tells it again within seconds, and how long others were silent is counted anew.
        redis.unlink(WATCH_KEY, ALIVE_KEY)
        raise
    now_s = seconds + microseconds / 1e6
    if ROUND_AT in known and abs(now_s - _number(known[ROUND_AT])) < _SHORTEST_ROUND_S:
        return None
    # What says that it comes from later would win over all that a flow reports, until then.
    latest = int((now_s + MAX_AHEAD.total_seconds()) * 1e6)
    signs = {
        sender_id: sign if sign and sign.moment <= latest else None
        for sender_id, sign in _signs(redis, sender_ids, keys).items()
    }
    notes = _notes(known, latest)
    holders = [_holder(sign, sender_id, notes.get(sender_id)) for sender_id, sign in signs.items()]
    refused = [one for one, sign in signs.items() if sign and _is_refused(sign, notes.get(one))]
    _remove(redis, refused)
    number = int(_number(known.get(_ROUNDS))) + 1
    _note(redis, known, holders, notes, {ROUND_AT: f"{now_s:.3f}", _ROUNDS: str(number)})
    return Round(number, holders, now_s, refused)


def _signs(redis: "Redis", sender_ids: list[str], keys: SigningKeys) -> dict[str, Sign | None]:
    signs: dict[str, Sign | None] = {}
    for start in range(0, len(sender_ids), _AT_ONCE):
        part = sender_ids[start : start + _AT_ONCE]
        told = zip(part, _told(redis, part), strict=True)
        signs |= {sender_id: Sign.read(sender_id, fields, keys) for sender_id, fields in told}
    return signs


def _told(redis: "Redis", sender_ids: list[str]) -> list[dict[str, str]]:
    """Return what these have told; what is larger than any of ours is removed, and counts as nothing."""
    pipeline: Any = redis.pipeline(transaction=False)
    for sender_id in sender_ids:
        pipeline.hgetall(holds_key(sender_id))
    try:
        told: list[dict[str, str]] = pipeline.execute()
    except AnswerTooLarge:
        if len(sender_ids) > 1:
            return [fields for sender_id in sender_ids for fields in _told(redis, [sender_id])]
        _remove(redis, sender_ids)
        return [{}]
    return told


def _holder(sign: Sign | None, sender_id: str, noted: "_Noted | None") -> Holder:
    if noted is None:
        return Holder(sender_id, sign, 0, is_new=True)
    if sign is not None and _is_from_before(sign, noted):
        sign = None
    if sign is not None and noted.sequence != str(sign.sequence) and _is_later(sign, noted):
        # A sign that came late, out of a network that was cut, may bring back a process without its flows.
        return Holder(sender_id, sign, 0, is_new=noted.missed > 0 or len(sign.held) > noted.held)
    return Holder(sender_id, sign, noted.missed + 1)


def _is_refused(sign: Sign, noted: "_Noted | None") -> bool:
    """Return whether something of a sign bears no proof that fits, or somebody has told an old one again."""
    return sign.refused > 0 or (noted is not None and _is_from_before(sign, noted))


def _is_later(sign: Sign, noted: "_Noted") -> bool:
    return not sign.is_proven or sign.moment > noted.moment


def _is_from_before(sign: Sign, noted: "_Noted") -> bool:
    return sign.is_proven and sign.moment < noted.moment


def _remove(redis: "Redis", sender_ids: list[str]) -> None:
    if not sender_ids:
        return
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.zrem(ALIVE_KEY, *sender_ids)
    for sender_id in sender_ids:
        pipeline.delete(holds_key(sender_id))
    pipeline.hincrbyfloat(COUNTERS_KEY, _FORGED, len(sender_ids))
    pipeline.execute()


@dataclass(frozen=True, slots=True)
class _Noted:
    """What the round before left about a process."""

    sequence: str
    missed: int
    held: int
    #: Of the newest sign that was proven.
    moment: int


def _notes(known: Mapping[str, str], latest: int) -> dict[str, _Noted]:
    """Return what is noted of each process, without what nobody here can have written."""
    notes = {}
    for name, text in known.items():
        # Of an earlier version what is missing is as good as none.
        sequence, missed, held, moment, *_ = (*text.split(":"), "0", "0", "0")
        with suppress(ValueError):
            if name.startswith(_SENDER) and int(moment) <= latest:
                noted = _Noted(sequence, int(missed), int(held), int(moment))
                if not 0 <= noted.missed < _LARGEST:
                    continue
                notes[name.removeprefix(_SENDER)] = noted
    return notes


def _number(text: str | None) -> float:
    """Return a number that the watch noted; 0 for what is none."""
    try:
        number = float(text or 0)
    except ValueError:
        return 0.0
    return number if 0 <= number < _LARGEST else 0.0


def _note(
    redis: "Redis",
    known: Mapping[str, str],
    holders: list[Holder],
    notes: Mapping[str, _Noted],
    about_round: dict[str, str],
) -> None:
    senders = {f"{_SENDER}{one.sender_id}": _note_of(one, notes.get(one.sender_id)) for one in holders}
    gone = [field for field in known if field.startswith(_SENDER) and field not in senders]
    pipeline: Any = redis.pipeline(transaction=False)
    if gone:
        pipeline.hdel(WATCH_KEY, *gone)
    pipeline.hset(WATCH_KEY, mapping={**about_round, **senders})
    pipeline.expire(WATCH_KEY, _KEPT_S)
    pipeline.execute()


def _note_of(holder: Holder, noted: _Noted | None) -> str:
    sign, newest = holder.sign, noted.moment if noted else 0
    if sign is not None and sign.is_proven:
        newest = max(sign.moment, newest)
    return f"{sign.sequence if sign else 0}:{holder.missed_rounds}:{len(holder.held)}:{newest}"
