"""An outbox that keeps what is reported in memory, bounded, and sends nothing: for tests."""

from collections import deque
from typing import Final

from masterflow.domain.events import Lane

_MOST_EVENTS: Final = 10_000


class MemoryOutbox:
    """The newest 10,000 events, in the order in which they were reported; any thread may use it."""

    def __init__(self) -> None:
        self.events: deque[bytes] = deque(maxlen=_MOST_EVENTS)
        self.reported_events = 0

    def append(self, lane: Lane, event: bytes) -> None:
        """Keep an event's JSON; the oldest one makes room for it."""
        del lane
        self.events.append(event)
        self.reported_events += 1

    def status(self) -> dict[str, int]:
        """Return how many events are kept, and how many made room for newer ones."""
        kept = len(self.events)
        return {"kept_events": kept, "forgotten_events": max(0, self.reported_events - kept)}
