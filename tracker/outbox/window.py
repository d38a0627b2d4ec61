"""The batches under way: sent, or about to be, and not confirmed yet."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from masterflow.domain.clock import uuid7_text
from masterflow.tasks.enqueue import Batch
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.segments import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Segment, flow_ids_in

#: So many batches may be under way; the rest waits on disk.
WINDOW_BATCHES: Final = 64

#: One more than is shown, so that it can be told that there are more.
_MOST_FLOW_IDS: Final = 4

_LONGEST_CONFIRM_TIMEOUT_S: Final = 600.0
_NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a segment, and how many of its records are in the batch."""

    segment: Segment
    start: int
    end: int
    record_count: int


@dataclass(slots=True, eq=False)
class Parcel:
    """One batch under way; it knows where its events are, and holds them only until it was sent once."""

    client_account_id: bytes
    #: How long it waits for its confirmation once it is sent.
    wait_s: float
    batch_id: str = field(default_factory=lambda: uuid7_text(time.time_ns() // 1000))
    spans: list[Span] = field(default_factory=list)
    events: list[bytes] | None = field(default_factory=list)
    sent_at: float = _NEVER
    resend_at: float = 0.0


class Window:
    """The batches under way, about 64 of them at most; belongs to the sender's thread."""

    def __init__(self, losses: Losses, *, confirm_timeout_s: float) -> None:
        self._losses = losses
        self._confirm_timeout_s = confirm_timeout_s
        self._parcels: dict[str, Parcel] = {}
        self._last_confirmed_at = _NEVER

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def is_full(self) -> bool:
        """Return whether nothing new may be taken before something is confirmed."""
        return len(self._parcels) >= WINDOW_BATCHES

    @property
    def oldest_at(self) -> float | None:
        """Return when the oldest batch was put under way, in seconds since 1970; its id says so."""
        oldest = next(iter(self._parcels), None)
        return None if oldest is None else int(oldest.replace("-", "")[:12], 16) / 1000

    def take(self, unread: Iterable[tuple[Segment, int]]) -> None:
        """Put as much as a message holds under way, a parcel for each client account in it.

        `unread` is segments, each with the size up to which it may be read.
        """
        parcels: dict[bytes, Parcel] = {}
        free_records, free_bytes = MAX_BATCH_RECORDS, MAX_BATCH_BYTES
        for segment, up_to in unread:
            start = segment.read_to
            for account, events in self._read_on(segment, up_to, free_records, free_bytes).items():
                parcel = parcels.setdefault(account, Parcel(account, self._confirm_timeout_s))
                parcel.spans.append(Span(segment, start, segment.read_to, len(events)))
                parcel.events = [*(parcel.events or ()), *events]
                segment.batches_under_way += 1
                free_records -= len(events)
            free_bytes -= segment.read_to - start
            if min(free_records, free_bytes) <= 0:
                break
        self._parcels.update((parcel.batch_id, parcel) for parcel in parcels.values())

    def due(self, now: float) -> Iterator[Parcel]:
        """Yield what was never sent, then what waited too long for its confirmation.

        Until a worker confirms something newer, only the oldest is repeated, as a probe: a queue that
        nobody empties must not fill up with copies.
        """
        is_oldest = True
        for parcel in list(self._parcels.values()):
            if parcel.resend_at <= now and (is_oldest or parcel.sent_at <= self._last_confirmed_at):
                yield parcel
            is_oldest = False

    def probe(self, now: float) -> None:
        """Let the oldest be repeated at once, because the broker may have lost it.

        It may have lost every repetition until now as well, so none of them makes a batch wait longer.
        """
        resend_at = 0.0
        for parcel in self._parcels.values():
            parcel.wait_s = self._confirm_timeout_s
            parcel.resend_at = min(parcel.resend_at, resend_at)
            resend_at = now + self._confirm_timeout_s

    def batch(self, parcel: Parcel, sender_id: str) -> Batch | None:
        """Return a parcel's message; None, and forget it, if its events were dropped meanwhile."""
        events = self._read_again(parcel) if parcel.events is None else parcel.events
        if not events:
            self._remove(parcel)
            return None
        return Batch(
            batch_id=parcel.batch_id,
            sender_id=sender_id,
            client_account_id=parcel.client_account_id.decode(),
            events=(b"[%b]" % b",".join(events)).decode(),
            event_count=len(events),
            flow_ids=flow_ids_in(events, _MOST_FLOW_IDS),
        )

    def note_sent(self, parcel: Parcel, now: float) -> None:
        """Start the parcel's time to be confirmed, twice as long with each resend, up to ten minutes."""
        parcel.sent_at, parcel.events = now, None
        parcel.resend_at = now + parcel.wait_s
        parcel.wait_s = min(2 * parcel.wait_s, _LONGEST_CONFIRM_TIMEOUT_S)

    def confirm(self, batch_ids: Iterable[str], now: float) -> int:
        """Remove the batches that a worker committed; return how many of them were under way."""
        confirmed = [self._parcels[batch_id] for batch_id in set(batch_ids) & self._parcels.keys()]
        for parcel in confirmed:
            self._remove(parcel)
            for span in parcel.spans:
                span.segment.confirmed_records += span.record_count
        if confirmed:
            self._last_confirmed_at = now
        return len(confirmed)

    def _read_on(
        self, segment: Segment, up_to: int, max_records: int, max_bytes: int
    ) -> dict[bytes, list[bytes]]:
        try:
            found = segment.read(segment.read_to, up_to, max_records=max_records, max_bytes=max_bytes)
        except FileNotFoundError as error:
            self._losses.note("disk", error, segment.records - segment.read_records)
            segment.read_to = segment.size
            return {}
        if found.corrupt_records:
            self._losses.note("corrupt", f"{segment.path} is torn or damaged", found.corrupt_records)
        segment.read_to = found.end
        segment.read_records += sum(map(len, found.events.values()))
        return found.events

    def _read_again(self, parcel: Parcel) -> list[bytes]:
        events: list[bytes] = []
        for span in parcel.spans:
            if not span.segment.is_dropped:
                try:
                    found = span.segment.read(span.start, span.end)
                except FileNotFoundError as error:
                    self._losses.note("disk", error, span.record_count)
                else:
                    events += found.events.get(parcel.client_account_id, ())
        return events

    def _remove(self, parcel: Parcel) -> None:
        del self._parcels[parcel.batch_id]
        for span in parcel.spans:
            span.segment.batches_under_way -= 1
