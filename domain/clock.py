"""The hybrid clock: event times that never go back, and ids made from them."""

import os
import random
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TOO_MANY_DIGITS = 10**16

#: What is further ahead of our clock than this is some clock's mistake, and would win every comparison.
MAX_AHEAD = timedelta(minutes=5)

#: Tells how long the machine has run, also asleep, where the system tells.
_run_ns = partial(time.clock_gettime_ns, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

# How long a jump of the clock must last: what is corrected sooner than that was a bad reading. A jump
# within the workers' bounds does less harm.
_STEP_NS = 1_000_000_000
_JUMP_LASTS_NS = 60 * 1_000_000_000
_FAR_JUMP_LASTS_NS = 600 * 1_000_000_000

# Not the module's generator, which a program may seed, and not os.urandom, a system call that lets
# other threads take the interpreter: 38 instead of 1 microseconds while the sender is busy.
_random = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)


# Of a version 7 UUID: its version and variant, and which of its last 76 bits are by chance.
_VERSION_7 = 7 << 76 | 2 << 62
_CHANCE = (1 << 76) - 1 & ~(3 << 62)


def to_microseconds(at: datetime) -> int:
    """Return microseconds since 1970 of an aware time."""
    return (at - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Return the aware UTC time of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def stamp_of(microseconds: int, event_id: UUID) -> str:
    """Return an event's place in time as 48 characters that sort as text: microseconds, then id."""
    return _sortable(microseconds) + event_id.hex


def _sortable(microseconds: int) -> str:
    """Return 16 characters: digits from 1970 to 2286, before that "-" and after it ":" with 15 hex digits."""
    if 0 <= microseconds < _TOO_MANY_DIGITS:
        return f"{microseconds:016d}"
    return f"-{microseconds + 16**15:015x}" if microseconds < 0 else f":{microseconds:015x}"


def uuid7(microseconds: int) -> UUID:
    """Return a version 7 UUID (RFC 9562) of that time; 74 of its bits are random."""
    return UUID(uuid7_text(microseconds))


def uuid7_text(microseconds: int) -> str:
    """Return the text of a new version 7 UUID."""
    bits = (microseconds // 1000 & 0xFFFFFFFFFFFF) << 80 | _random.getrandbits(76) & _CHANCE | _VERSION_7
    text = bits.to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_time(text: object) -> datetime | None:
    """Return the aware time an ISO-8601 text stands for (naive is read as UTC), or None if it is no time."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class HybridClock:
    """A wall clock that strictly increases within its process, and per flow from a known time on.

    It runs on by itself from its first reading. The machine's clock moves it by small steps at once; a
    jump must last before it follows, so that one bad reading does not put all later events out of the
    workers' bounds. A flow that moves to a host whose clock is behind would report events that look
    old. Whoever resumes a flow therefore calls `observe` with the newest time known of it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._last = 0
        #: What the machine's clock is ahead of the time it has run, as far as it is believed.
        self._offset_ns: int | None = None
        #: A jump, and since when it lasts: another offset, and the time the machine had run.
        self._doubt: tuple[int, int] | None = None
        #: The time that a flow's next event must exceed, each in a list of its own.
        self._floors: dict[UUID, list[int]] = {}
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    def observe(self, flow_id: UUID, at: datetime) -> None:
        """Let this flow's next event be later than `at`."""
        with self._lock:
            floor = self._floors.setdefault(flow_id, [0])
            microseconds = to_microseconds(at)
            if floor[0] < microseconds:
                floor[0] = microseconds

    def ahead(self, flow_ids: Iterable[UUID]) -> dict[UUID, int]:
        """Return the newest time, in microseconds since 1970, of those flows that are ahead of us."""
        if not self._floors:
            return {}
        with self._lock:
            floors = {flow_id: self._floors[flow_id][0] for flow_id in flow_ids if flow_id in self._floors}
            return {flow_id: floor for flow_id, floor in floors.items() if floor > self._last}

    def tick(self, flow_id: UUID | None = None) -> datetime:
        """Return the time of an event that happens now; thread-safe."""
        return from_microseconds(self.tick_microseconds(flow_id))

    def tick_microseconds(self, flow_id: UUID | None = None) -> int:
        """Return the time of an event that happens now, in microseconds since 1970; thread-safe."""
        with self._lock:
            floor = self._floors.get(flow_id) if self._floors and flow_id else None
            # A signal handler or the garbage collector may tick between any two steps, except those that
            # call nothing: what they compare is still so when they store.
            while True:
                last, lowest = self._last, floor[0] if floor else 0
                now = self._now()
                now = now if now > last else last + 1
                stamp = now if now > lowest else lowest + 1
                if last == self._last and lowest == (floor[0] if floor else 0):
                    self._last = now
                    if floor:
                        floor[0] = stamp
                    break
            if flow_id and floor and stamp == now:
                self._floors.pop(flow_id, None)
        return stamp

    def _now(self) -> int:
        read_ns, run_ns = time.time_ns(), _run_ns()
        offset_ns = read_ns - run_ns
        if self._offset_ns is None or abs(offset_ns - self._offset_ns) <= _STEP_NS:
            self._offset_ns, self._doubt = offset_ns, None
        else:
            self._offset_ns = self._after_jump(self._offset_ns, offset_ns, run_ns)
        return (run_ns + self._offset_ns) // 1000

    def _after_jump(self, former_ns: int, offset_ns: int, run_ns: int) -> int:
        """Return the offset to believe: the former one until another one has lasted."""
        if self._doubt is None or abs(offset_ns - self._doubt[0]) > _STEP_NS:
            self._doubt = (offset_ns, run_ns)
            return former_ns
        is_far_ahead = offset_ns - former_ns > MAX_AHEAD // _MICROSECOND * 1000
        if run_ns - self._doubt[1] < (_FAR_JUMP_LASTS_NS if is_far_ahead else _JUMP_LASTS_NS):
            return former_ns
        self._doubt = None
        return offset_ns


#: The process's clock.
clock = HybridClock()
