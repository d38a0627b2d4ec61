"""What each role may do in Redis, and nothing else: rules of ACLs, for Redis 6.2 and newer.

An orchestrator has two users: its `CELERY_BROKER_URL` is that of the publisher, who can only put messages
into the queue, and its `REDIS_URL` is its own, who can only take its own confirmations. With one user for
both, a Redis before 7 would let it take from the queue what others have put there.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from masterflow.domain.errors import InputInvalid
from masterflow.domain.redis_keys import (
    ALIVE_KEY,
    COUNTERS_KEY,
    FLAG_KEY,
    HEARTBEAT_NOTE,
    KEY_PREFIX,
    NOTES_KEY,
    OUTBOXES_KEY,
    PARKED_KEY,
    SKIPPED_KEY,
    UNACKNOWLEDGED_KEY,
    WATCH_KEY,
    WATCH_LOCK_KEY,
    answers_key,
    attempt_key,
    backfill_key,
    former_confirmations_key,
    holds_key,
    note_key,
    queue_key,
)
from masterflow.repository.redis.consumption import CONSUMPTION_NOTE
from masterflow.tasks.heartbeats import BEAT
from masterflow.tasks.queues import BACKFILL_QUEUE, DEAD_LETTER_QUEUE, ENRICHMENT_QUEUE
from masterflow.tasks.rights.redis import COMMANDS, OPERATOR, Role

# What every client says when it connects, and what the doctor tries the others with.
_ENTER: Final = ("exec", "multi", "ping", "select")

_EVENTS: Final = f"{KEY_PREFIX}/*.celeryev"
_BINDINGS: Final = f"{KEY_PREFIX}_kombu.binding*"
_OWN_EVENTS: Final = f"{KEY_PREFIX}celeryev.*"
# Each is up to four lists, of which the last three are of a priority that nobody here gives.
_QUEUES: Final = tuple(
    f"{queue_key(name)}*" for name in (ENRICHMENT_QUEUE, BACKFILL_QUEUE, DEAD_LETTER_QUEUE)
)
_OF_KOMBU: Final = (f"{UNACKNOWLEDGED_KEY}*", _BINDINGS)
_OF_WORKERS: Final = (
    *(f"{it}*" for it in (SKIPPED_KEY, PARKED_KEY)),
    *(make("*") for make in (attempt_key, answers_key, former_confirmations_key, backfill_key)),
    *(f"{KEY_PREFIX}{name}:*" for name in ("told", "overdue", "refused", "notices")),
    COUNTERS_KEY,
    FLAG_KEY,
    WATCH_KEY,
    WATCH_LOCK_KEY,
)
_NOTES: Final = (note_key(f"{HEARTBEAT_NOTE}*"), note_key(f"{CONSUMPTION_NOTE}*"), NOTES_KEY, OUTBOXES_KEY)

# Who holds which flow, and when each last gave a sign of life.
_LIVES: Final = (ALIVE_KEY, holds_key("*"))

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}", re.ASCII)


def _role(keys: Iterable[str], commands: Iterable[str], *channels: str) -> Role:
    return Role(tuple(sorted({*keys})), tuple(sorted({*commands, *_ENTER})), channels)


def _part(keys: Iterable[str], *commands: str) -> Role:
    """Return what a user may do with these keys beside the rest."""
    return Role(tuple(keys), commands)


_OF_WORKER: Final = {*COMMANDS} - {"info", "scan", "subscribe", "unsubscribe"}

# It listens, for which kombu notes at the broker that somebody does.
_OF_FLOWER: Final = (
    "del", "evalsha", "exists", "llen", "pexpire", "sadd", "script|exists", "script|load",
    "smembers", "srem", "subscribe", "time", "unsubscribe", "zadd", "zrangebyscore", "zrem",
)  # fmt: skip

#: Of those of which there is one for all hosts.
ROLES: Final[Mapping[str, Role]] = {
    "publisher": _role([queue_key(ENRICHMENT_QUEUE)], ["lpush"]),
    "worker": _role([*_QUEUES, *_OF_KOMBU, *_OF_WORKERS, *_LIVES, *_NOTES], _OF_WORKER, _EVENTS),
    "beat": _role(
        [
            queue_key(BACKFILL_QUEUE),
            queue_key(ENRICHMENT_QUEUE),
            note_key(f"{HEARTBEAT_NOTE}{BEAT}"),
            NOTES_KEY,
        ],
        ["expire", "get", "lpush", "set", "zadd", "zremrangebyscore"],
    ),
    "status": replace(
        _role(
            [UNACKNOWLEDGED_KEY, COUNTERS_KEY, f"{SKIPPED_KEY}*", PARKED_KEY, WATCH_KEY, *_LIVES, *_NOTES],
            ["get", "hget", "hgetall", "hlen", "hmget", "mget", "time", "zcard", "zrevrange"],
        ),
        parts=(
            _part(_QUEUES, "llen"),
            # What people ask of flows.
            _part([queue_key(ENRICHMENT_QUEUE)], "lpush"),
            _part([f"{KEY_PREFIX}request:*", f"{KEY_PREFIX}answering:*"], "get", "set"),
        ),
    ),
    # It gets no queue, not even to count what waits: before Redis 7 it could then end one.
    "flower": _role([_BINDINGS, _OWN_EVENTS], _OF_FLOWER, _EVENTS),
    "operator": OPERATOR,
}


def orchestrator_role(name: str) -> Role:
    """Return what the orchestrators whose user has this name may do, beside publishing.

    Raises:
        InputInvalid: this cannot be the name of a user, or it is that of another role.
    """
    if not _NAME.fullmatch(name) or name in {*ROLES, "default"}:
        raise InputInvalid(
            f"{name!r:.60} is no name of an orchestrator; use small letters, digits and hyphens, and none of"
            f" {', '.join(ROLES)}."
        )
    own = f"{name}.*"
    return replace(
        _role([answers_key(own)], ["hlen", "hmget", "hstrlen", "time", "unlink"]),
        parts=(
            _part([OUTBOXES_KEY], "hset"),
            # Which flows its processes hold, and what those are told.
            _part([ALIVE_KEY], "expire", "zadd", "zrem"),
            _part([holds_key("*")], "del", "expire", "hdel", "hset"),
            _part([f"{KEY_PREFIX}told:*"], "xread"),
        ),
    )


#: What an orchestrator needs beside that whose state store keeps its cache there, encrypted and signed.
CACHE: Final = _part([f"{KEY_PREFIX}cache:*"], "get", "set")


def backend_role(name: str) -> Role:
    """Return what an API may do that is an orchestrator as well, under this name; needs Redis 7."""
    status, own, publisher = ROLES["status"], orchestrator_role(name), ROLES["publisher"]
    others = [replace(own, parts=()), *own.parts, replace(publisher, parts=()), CACHE]
    return replace(status, parts=(*status.parts, *others))


def fitting_role(username: str | None) -> Role:
    """Return what a user of this name should be able to do: that of a role, an orchestrator's, or all."""
    try:
        return ROLES.get(username or "default") or orchestrator_role(username or "default")
    except InputInvalid:
        return OPERATOR
