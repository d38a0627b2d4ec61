"""The batches under way: sent, or about to be, and not confirmed yet."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from masterflow.domain.backoff import Haste, pause_s
from masterflow.domain.records.superseded import without_superseded
from masterflow.tasks.enqueue import Awaited, Batch, digest_of
from masterflow.tracker.outbox.folder import CutSpan, Journal, Sent, accounts_of, batch_id_of
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.segments import MAX_BATCH_BYTES, Cut, Segment, Span, flow_ids_in

T = TypeVar("T")

#: What may be under way, in full messages; the rest waits on disk.
WINDOW_BATCHES: Final = 64
_WINDOW_BYTES: Final = 64 * MAX_BATCH_BYTES

#: One more than is shown, so that it can be told that there are more.
_MOST_FLOW_IDS: Final = 4

#: Behind a sender's id, it is the name under which repetitions are confirmed.
AGAIN: Final = ".again"

_LONGEST_CONFIRM_TIMEOUT_S: Final = 600.0
_SICK_FILE_PAUSE_S: Final = 5.0
_NEVER: Final = float("-inf")


@dataclass(slots=True, eq=False)
class Parcel:
    """One batch under way; it knows where its events are, and holds them only until it was sent once."""

    client_account_id: str
    batch_id: str
    #: How long it waits for its confirmation once it is sent.
    wait_s: float
    cut: Cut
    spans: list[Span]
    events: list[bytes] | None = None
    #: Under which names workers may confirm it, with the digest that they have to name, where it is known.
    names: dict[str, bytes | None] = field(default_factory=dict)
    name: str = ""
    #: The numbers of its first sending, its first repetition and its last sending; 0 is none.
    first_sending: int = 0
    first_repetition: int = 0
    last_sending: int = 0
    sent_at: float = _NEVER
    resend_at: float = 0.0
    #: When something was confirmed that was sent after it.
    passed_at: float | None = None
    #: In seconds since 1970.
    begun_at: float = field(default_factory=time.time)


class Window:
    """The batches under way, about 64 full ones at most; belongs to the sender's thread.

    It changes the numbers of segments under their outbox's lock, so that they add up at every moment.
    """

    def __init__(
        self,
        losses: Losses,
        *,
        confirm_timeout_s: float,
        lock: "threading.RLock | None" = None,
        note: Callable[..., None] = lambda *_: None,
    ) -> None:
        """Begin empty; `note` writes lines into the outbox's journal."""
        self._losses = losses
        self._confirm_timeout_s = confirm_timeout_s
        self._lock = lock or threading.RLock()
        self._note = note
        self._parcels: dict[str, Parcel] = {}
        self._sendings = 0
        self._confirmed_at = _NEVER
        #: How long the newest batch that was confirmed took.
        self.latency_s = 0.0
        self._is_probe_wanted = False
        self._haste = Haste(confirm_timeout_s, _LONGEST_CONFIRM_TIMEOUT_S)

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def is_full(self) -> bool:
        """Return whether nothing new may be taken before something is confirmed."""
        cuts = {parcel.cut for parcel in self._parcels.values()}
        return len(cuts) >= WINDOW_BATCHES or sum(cut.bytes for cut in cuts) >= _WINDOW_BYTES

    @property
    def oldest_at(self) -> float | None:
        """Return when the oldest batch was put under way, in seconds since 1970."""
        return min((parcel.begun_at for parcel in self._parcels.values()), default=None)

    def awaited(self) -> list[Awaited]:
        """Return what was sent, under which names workers may confirm it, and how to know that it is it."""
        return [
            Awaited(parcel.batch_id, parcel.client_account_id, parcel.names, partial(self._digest, parcel))
            for parcel in self._parcels.values()
            if parcel.names
        ]

    def take(self, unread: Iterable[tuple[Segment, int]]) -> bool:
        """Put as much as a message holds under way, a parcel for each client account in it.

        False if nothing of it can be read now.

        `unread` is segments, each with the size up to which it may be read. The accounts of many are
        read for further than a message, or each would get a message for an event.
        """
        cut = Cut()
        for segment, up_to in unread:
            while min(room := cut.room()) > 0 and self._read_on(segment, up_to, cut, *room):
                pass
        if not cut.spans:
            return False
        self._note({"cut": list(cut.spans.values())})
        with self._lock:
            for account, spans in accounts_of(cut.spans.values()).items():
                self._begin(cut, account, spans)
        # The parcels know where they are, and hold their events only until they are sent.
        cut.spans, cut.events = {}, {}
        return True

    def restore(self, parcels: Iterable[Parcel]) -> None:
        """Put under way what a dead process had under way, as if it were sent now.

        What was sent later than that, and is confirmed, shows that it was passed over.
        """
        now = time.monotonic()
        for parcel in parcels:
            if parcel.names:
                self._sendings += 1
                parcel.first_sending = parcel.first_repetition = parcel.last_sending = self._sendings
                waited_s = max(0.0, time.time() - parcel.sent_at)
                parcel.resend_at, parcel.sent_at = now + max(0.0, parcel.wait_s - waited_s), now
            self._parcels[parcel.batch_id] = parcel

    def due(self, now: float) -> Iterator[Parcel]:
        """Yield what was never sent, then what workers passed over, each when it has waited long enough.

        A batch is passed over when one that was sent after it is confirmed. While nothing is, for much
        longer than a batch took of late, only the oldest is repeated, as a probe: a queue that nobody
        empties must not fill up with copies.
        """
        silent_s = max(self._confirm_timeout_s, min(2 * self.latency_s, _LONGEST_CONFIRM_TIMEOUT_S))
        is_silent = now - self._confirmed_at >= silent_s
        is_oldest = True
        for parcel in list(self._parcels.values()):
            is_probe = is_oldest and (is_silent or self._is_probe_wanted)
            is_oldest = False
            if now < parcel.resend_at:
                continue
            if is_probe:
                self._is_probe_wanted = False
            is_passed = parcel.passed_at is not None and now - parcel.passed_at >= self._confirm_timeout_s
            if is_probe or is_passed or not parcel.last_sending:
                yield parcel

    def probe(self, now: float) -> None:
        """Let the oldest be repeated at once, because the broker may have lost it.

        It may have lost every repetition until now as well, so none of them makes a batch wait longer. One
        that comes and goes is probed at once ever more rarely, or the queue would fill up with copies.
        """
        if not self._haste.take(now):
            return
        self._is_probe_wanted = True
        for place, parcel in enumerate(self._parcels.values()):
            parcel.wait_s = self._confirm_timeout_s
            parcel.resend_at = min(parcel.resend_at, now + self._confirm_timeout_s if place else 0.0)

    def batch(self, parcel: Parcel, sender_id: str) -> Batch | None:
        """Return a parcel's message; None if it cannot be read now, or was dropped and is forgotten."""
        events = self._read_again(parcel) if parcel.events is None else self._held(parcel)
        if events is None:
            parcel.resend_at = time.monotonic() + _SICK_FILE_PAUSE_S
            return None
        if not events:
            self._remove(parcel)
            return None
        events = without_superseded(events)
        parcel.name = f"{sender_id}{AGAIN}" if parcel.first_sending else sender_id
        return Batch(
            batch_id=parcel.batch_id,
            sender_id=sender_id,
            client_account_id=parcel.client_account_id,
            events=(b"[%b]" % b",".join(events)).decode(),
            event_count=len(events),
            flow_ids=flow_ids_in(events, _MOST_FLOW_IDS),
        )

    def note_sent(self, parcel: Parcel, now: float, digest: bytes | None = None) -> None:
        """Start the parcel's time to be confirmed, twice as long with each resend, up to ten minutes."""
        self._sendings += 1
        if parcel.first_sending:
            parcel.first_repetition = parcel.first_repetition or self._sendings
        parcel.first_sending = parcel.first_sending or self._sendings
        parcel.last_sending = self._sendings
        parcel.names[parcel.name] = digest
        parcel.sent_at, parcel.events, parcel.passed_at = now, None, None
        parcel.resend_at = now + parcel.wait_s
        parcel.wait_s = pause_s(2, first_s=parcel.wait_s, longest_s=_LONGEST_CONFIRM_TIMEOUT_S)
        self._note({"sent": [parcel.batch_id, parcel.name, time.time(), 1]})

    def confirm(self, batch_ids: Iterable[str], now: float, *, is_repetition: bool = False) -> int:
        """Remove the batches that a worker committed; return how many of them were under way.

        Which sending was committed, the first one or a repetition, tells what a worker passed over.
        """
        confirmed = [self._parcels[one] for one in dict.fromkeys(batch_ids) if one in self._parcels]
        if not confirmed:
            return 0
        for parcel in confirmed:
            self._remove(parcel, is_confirmed=True, is_repetition=is_repetition)
        sent_at = [parcel.sent_at for parcel in confirmed if parcel.first_sending == parcel.last_sending]
        self.latency_s = now - max(sent_at, default=now - self.latency_s)
        newest = max(one.first_repetition if is_repetition else one.first_sending for one in confirmed)
        for parcel in self._parcels.values():
            if 0 < parcel.last_sending < newest and parcel.passed_at is None:
                parcel.passed_at = now
        self._confirmed_at = now
        self._haste.renew()
        self._note({"done": [parcel.batch_id for parcel in confirmed]})
        return len(confirmed)

    def _digest(self, parcel: Parcel, name: str) -> bytes | None:
        """Return what a confirmation under a name is about; what a dead process sent is read anew."""
        if parcel.names[name] is None and (events := self._read_again(parcel)):
            parcel.names[name] = digest_of(b"[%b]" % b",".join(without_superseded(events)))
        return parcel.names[name]

    def _begin(self, cut: Cut, account: str, spans: list[CutSpan]) -> None:
        segments = {segment.path.name: segment for segment in cut.spans}
        own = [Span(segments[name], start, end, counts[account]) for name, start, end, _, counts in spans]
        # What was dropped meanwhile has been counted as lost.
        if own := [span for span in own if not span.segment.is_dropped]:
            parcel = Parcel(
                account, batch_id_of(account, spans), self._confirm_timeout_s, cut, own, cut.events[account]
            )
            self._parcels[parcel.batch_id] = parcel

    def _read_on(self, segment: Segment, up_to: int, cut: Cut, max_records: int, max_bytes: int) -> bool:
        """Read a segment on; return whether there may be more in it. Its numbers change last."""
        start, rewrites = segment.read_to, segment.seen_rewrites
        if start >= (up_to := min(up_to, segment.size)) or segment.is_dropped:
            return False
        try:
            found = self._read(
                segment,
                lambda: segment.read(start, up_to, max_records=max_records, max_bytes=max_bytes),
            )
        except FileNotFoundError as error:
            self._give_up_unread(segment, error)
            return False
        except OSError as error:
            self._losses.log.warning("read", "A file of the outbox cannot be read now: %s", error)
            return False
        with self._lock:
            if segment.is_dropped or segment.rewrites != rewrites:
                return False
            for events in found.events.values():
                segment.under_way_records += len(events)
            is_new = {account.decode() for account in found.events} - cut.spans.get(
                segment, ("", 0, 0, 0, {})
            )[4].keys()
            segment.batches_under_way += len(is_new)
            segment.read_to = found.end
            cut.add(segment, start, found)
            if missing := segment.balance():
                self._losses.count("corrupt", missing)
        if missing:
            self._losses.tell("corrupt", f"{segment.path} is torn or damaged")
        return True

    def _read(self, segment: Segment, read: Callable[[], T]) -> T:
        try:
            return read()
        except FileNotFoundError:
            with self._lock:
                if not segment.restore():
                    raise
            return read()

    def _give_up_unread(self, segment: Segment, error: OSError) -> None:
        with self._lock:
            segment.read_to = segment.size
            self._losses.count("disk", segment.balance())
        self._losses.tell("disk", error)

    def _held(self, parcel: Parcel) -> list[bytes] | None:
        # A batch that was never sent is dropped as a whole with any of its segments: the rest is read anew.
        if any(span.segment.is_dropped for span in parcel.spans):
            parcel.events = None
            return self._read_again(parcel)
        return parcel.events or []

    def _read_again(self, parcel: Parcel) -> list[bytes] | None:
        """Return the events that are left; None if a file cannot be read for now."""
        events: list[bytes] = []
        for span in list(parcel.spans):
            if span.segment.is_dropped:
                continue
            try:
                found = self._read(span.segment, span.read)
            except FileNotFoundError as error:
                self._give_up(parcel, span, error)
            except OSError as error:
                self._losses.log.warning("read", "A file of the outbox cannot be read now: %s", error)
                return None
            else:
                own = found.get(parcel.client_account_id.encode(), ())
                self._note_missing(parcel, span, span.record_count - len(own))
                events += own
        return events

    def _note_missing(self, parcel: Parcel, span: Span, count: int) -> None:
        """Count as lost what is no longer in the file, unless a sending that had it may be confirmed yet."""
        if parcel.names or count <= 0:
            span.missing_records = max(0, count)
            return
        with self._lock:
            if span.segment.is_dropped:
                return
            span.record_count -= count
            span.segment.under_way_records -= count
            span.segment.lost_records += count
            self._losses.count("corrupt", count)

    def _give_up(self, parcel: Parcel, span: Span, error: OSError) -> None:
        with self._lock:
            parcel.spans.remove(span)
            span.segment.batches_under_way -= 1
            if not span.segment.is_dropped:
                span.segment.under_way_records -= span.record_count
                span.segment.lost_records += span.record_count
                self._losses.count("disk", span.record_count)
        self._losses.tell("disk", error)

    def _remove(self, parcel: Parcel, *, is_confirmed: bool = False, is_repetition: bool = False) -> None:
        with self._lock:
            del self._parcels[parcel.batch_id]
            for span in parcel.spans:
                segment = span.segment
                segment.batches_under_way -= 1
                if segment.is_dropped:
                    continue
                segment.under_way_records -= span.record_count
                # What can no longer be read as it was is lost, if it was not in the message.
                lost = span.missing_records if is_repetition else 0 if is_confirmed else span.record_count
                segment.confirmed_records += span.record_count - lost
                segment.lost_records += lost
                self._losses.count("corrupt", lost)


def restore_parcels(
    journal: Journal, segments: dict[str, Segment], *, confirm_timeout_s: float
) -> list[Parcel]:
    """Return what a dead process had under way of these segments, and note in them how far it had come.

    What it had seen confirmed or given up is in its own books; the segments begin with the rest.
    """
    parcels = []
    for spans in journal.cuts:
        known = [span for span in spans if _continues(segments.get(span[0]), span)]
        cut = Cut(bytes=sum(end - start for _, start, end, *_ in known))
        for name, _, end, *_ in known:
            segments[name].read_to = end
        # A batch of which a segment is missing is another one.
        for account, found in accounts_of(known).items():
            parcel = Parcel(account, batch_id_of(account, found), confirm_timeout_s, cut, [])
            parcel.spans = [
                Span(segments[name], start, end, counts[account]) for name, start, end, _, counts in found
            ]
            if parcel.batch_id not in journal.done:
                parcels.append(_resume(parcel, journal.sent.get(parcel.batch_id)))
    for segment in segments.values():
        # What it had under way may have been damaged since.
        segment.records = segment.under_way_records + segment.unread_lines()
    return parcels


def _resume(parcel: Parcel, sent: Sent | None) -> Parcel:
    for span in parcel.spans:
        span.segment.batches_under_way += 1
        span.segment.under_way_records += span.record_count
    if sent:
        parcel.names, parcel.sent_at, parcel.begun_at = dict(sent.names), sent.at, sent.at
        parcel.wait_s = pause_s(sent.times, first_s=parcel.wait_s, longest_s=_LONGEST_CONFIRM_TIMEOUT_S)
    return parcel


def _continues(segment: Segment | None, span: CutSpan) -> bool:
    return segment is not None and segment.read_to == span[1] <= span[2] <= segment.size
