"""Whether a worker takes nothing although messages wait for it: it lives, but something has stopped it.

What it tells of itself, and how long its queues are, is all that is asked: no worker has to obey anybody.
"""

import time
from collections.abc import Collection, Mapping
from typing import Final

from redis import Redis

from masterflow.domain.redis_keys import note_key
from masterflow.repository.redis.consumption import CONSUMPTION_NOTE, Consumption
from masterflow.tasks.enqueue import QueueSettings, queue_lengths, redis_client
from masterflow.tasks.heartbeats import INTERVAL_S, LONGEST_S, leave_note

# A worker takes its next message within milliseconds, and within a second on a very busy host.
_GRACE_S: Final = 3.0

# No task may take longer than 60 s, so whoever holds a message for longer than this has lost it from sight.
_LONGEST_HOLD_S: Final = 180.0

_LOOK_S: Final = 0.5


def note_consumption(redis: "Redis", hostname: str, consumption: Consumption) -> None:
    """Write what a worker takes into Redis; a `RedisError` passes."""
    leave_note(redis, f"{CONSUMPTION_NOTE}{hostname}", consumption.text(), kept_s=LONGEST_S)


def idle_workers(hostnames: Collection[str]) -> list[str]:
    """Return which of these workers take nothing while messages wait for them; a suspicion takes seconds.

    A worker that tells nothing of itself, for it is older, is not among them. What raises BrokerUnavailable
    or RedisError found one of them away.
    """
    settings = QueueSettings()
    with redis_client(settings) as redis:
        first = _suspects(_notes(redis, hostnames), queue_lengths(settings))
        suspects = dict(first)
        deadline = time.monotonic() + _GRACE_S + 2 * INTERVAL_S
        # Its next word has to be from a while after the first one, in which it could have taken what waits.
        while suspects and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            notes = _notes(redis, suspects)
            later = {name: note for name, note in notes.items() if note.at >= first[name].at + _GRACE_S}
            still = _suspects(later, queue_lengths(settings)) if later else {}
            suspects = {
                name: note
                for name, note in suspects.items()
                if name in notes and (name not in later or _is_unmoved(note, still.get(name)))
            }
            if later.keys() >= suspects.keys():
                break
    return sorted(suspects)


def _notes(redis: "Redis", hostnames: Collection[str]) -> dict[str, Consumption]:
    names = list(hostnames)
    texts = redis.mget([note_key(f"{CONSUMPTION_NOTE}{name}") for name in names]) if names else []
    found = {name: Consumption.parse(text) for name, text in zip(names, texts, strict=True) if text}
    return {name: note for name, note in found.items() if note is not None}


def _suspects(notes: Mapping[str, Consumption], lengths: Mapping[str, int]) -> dict[str, Consumption]:
    return {name: note for name, note in notes.items() if is_idle(note, lengths)}


def is_idle(note: Consumption, lengths: Mapping[str, int]) -> bool:
    """Return whether messages wait for a worker that holds none, or that holds the same for minutes."""
    is_holding = note.held > 0 and note.idle_s < _LONGEST_HOLD_S
    return not is_holding and any(lengths.get(queue, 0) > 0 for queue in note.queues)


def _is_unmoved(first: Consumption, later: Consumption | None) -> bool:
    return later is not None and later.moved_at <= first.moved_at
