"""The batches under way: sent, or about to be, and not confirmed yet."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from domain.clock import uuid7
from tasks.enqueue import Batch
from tracker.segments import Segment

#: So many batches may be under way; the rest waits on disk.
WINDOW_BATCHES: Final = 64

_LONGEST_CONFIRM_TIMEOUT_S: Final = 600.0
_NEVER: Final = float("-inf")


@dataclass(slots=True, eq=False)
class Parcel:
    """One batch under way; it knows where its events are, and holds them only until it was sent once."""

    batch_id: str
    client_account_id: bytes
    segment: Segment
    start: int
    end: int
    record_count: int
    events: list[bytes] | None
    sent_at: float = _NEVER
    resend_at: float = 0.0
    resends: int = 0

    def batch(self, sender_id: str) -> Batch:
        """Return the message, read from the segment again if it was sent before."""
        events = self.events
        if events is None:
            events = self.segment.read(self.start, self.end).events.get(self.client_account_id, [])
        return Batch(
            batch_id=self.batch_id,
            sender_id=sender_id,
            client_account_id=self.client_account_id.decode(),
            events=(b"[%b]" % b",".join(events)).decode(),
        )


class Window:
    """The batches under way, at most 64 stretches of segments; belongs to the sender's thread."""

    def __init__(self, confirm_timeout_s: float) -> None:
        self._confirm_timeout_s = confirm_timeout_s
        self._parcels: dict[str, Parcel] = {}
        self._last_confirmed_at = _NEVER

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def is_full(self) -> bool:
        """Return whether nothing new may be taken before something is confirmed."""
        return len(self._parcels) >= WINDOW_BATCHES

    def take(self, segment: Segment, up_to: int) -> int:
        """Put a segment's next stretch under way, a parcel per client account; return its corrupt records."""
        start, span = segment.read_to, segment.read(segment.read_to, up_to)
        for account, events in span.events.items():
            batch_id = str(uuid7(time.time_ns() // 1000))
            self._parcels[batch_id] = Parcel(
                batch_id, account, segment, start, span.end, record_count=len(events), events=events
            )
            segment.batches_under_way += 1
        segment.read_to = span.end
        return span.corrupt_records

    def due(self, now: float) -> Iterator[Parcel]:
        """Yield what was never sent, then what waited too long for its confirmation.

        Until a worker confirms something newer, only the oldest is repeated, as a probe: a queue that
        nobody empties must not fill up with copies.
        """
        is_oldest = True
        for parcel in list(self._parcels.values()):
            if parcel.segment.is_dropped:
                self.discard(parcel)
                continue
            if parcel.resend_at <= now and (is_oldest or parcel.sent_at <= self._last_confirmed_at):
                yield parcel
            is_oldest = False

    def probe(self) -> None:
        """Let the oldest be repeated at once, because the broker may have lost it."""
        for parcel in self._parcels.values():
            parcel.resend_at = 0.0
            break

    def note_sent(self, parcel: Parcel, now: float) -> None:
        """Start the parcel's time to be confirmed, twice as long with each resend, up to ten minutes."""
        parcel.resends += parcel.sent_at != _NEVER
        parcel.sent_at, parcel.events = now, None
        parcel.resend_at = now + min(self._confirm_timeout_s * 2**parcel.resends, _LONGEST_CONFIRM_TIMEOUT_S)

    def confirm(self, batch_ids: Iterable[str], now: float) -> int:
        """Remove the batches that a worker committed; return how many of them were under way."""
        confirmed = [self._parcels[batch_id] for batch_id in set(batch_ids) & self._parcels.keys()]
        for parcel in confirmed:
            self.discard(parcel)
            parcel.segment.confirmed_records += parcel.record_count
        if confirmed:
            self._last_confirmed_at = now
        return len(confirmed)

    def discard(self, parcel: Parcel) -> None:
        """Forget a batch without a confirmation."""
        del self._parcels[parcel.batch_id]
        parcel.segment.batches_under_way -= 1
