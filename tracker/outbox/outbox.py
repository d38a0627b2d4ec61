"""The outbox: the events of this process that no worker has confirmed, on disk and bounded."""

import errno
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from masterflow.domain.events import Lane
from masterflow.domain.interruptions import Suppressed, pass_interruption
from masterflow.tracker.life.holdings import process_holdings
from masterflow.tracker.outbox.eviction import Eviction
from masterflow.tracker.outbox.folder import Folder, Journal, make_folder, sync_path
from masterflow.tracker.outbox.lanes import LANES, Lanes
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.segments import Segment, encode_record
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.outbox.window import Parcel, restore_parcels
from masterflow.tracker.reentry import is_owned

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class OutboxClosed(Exception):
    """The outbox was shut down meanwhile; the next one takes the event."""


class Outbox:
    """A folder with two lanes of segments, of which the oldest details are dropped when it is full.

    Order between and within lanes does not matter, because merging does not depend on it. `append` is
    for any thread and costs one write; the other methods belong to the threads that send and sync.
    Each event that was reported is pending, under way, confirmed or lost, at every moment.
    """

    def __init__(self, settings: OutboxSettings, losses: Losses, *, broker: str = "") -> None:
        """Make the folder and its first segments, or fail with OSError; then nothing is left of them."""
        self._settings = settings
        self._losses = losses
        self.lock = threading.RLock()
        self._is_shorter = threading.Condition(self.lock)
        self._syncing = threading.RLock()
        self._lanes = Lanes(losses)
        self._eviction = Eviction(self._lanes, losses, self._begin_segment)
        #: What was reported by a signal handler, or by what the garbage collector closed, while its own
        #: thread was at work here; its thread keeps it as soon as it is done.
        self._late: deque[tuple[Lane, bytes]] = deque()
        # What is dropped at once is a small part of the whole.
        self._segment_bytes = min(settings.segment_bytes, max(64_000, settings.max_bytes // 8))
        self._retired: list[Segment] = []
        self._restored: list[Parcel] = []
        self.own: Folder = make_folder(settings.spool_dir, broker)
        try:
            for lane in LANES:
                self._begin_segment(lane)
        except BaseException:
            self._give_up()
            raise

    @property
    def folder(self) -> Path:
        """Return where this process's segments are."""
        return self.own.path

    @property
    def sender_id(self) -> str:
        """Return the name under which workers confirm this outbox's batches."""
        return self.folder.name

    def append(self, lane: Lane, event: bytes) -> None:
        """Keep an event's JSON; once this returns, the event outlives the process, or is counted as lost.

        With OutboxClosed it belongs into the next outbox.
        """
        record = encode_record(event)
        if is_owned(self.lock) and self._lanes.open:
            self._late.append((lane, record))
            return
        with self.lock:
            try:
                self._keep(lane, record)
            finally:
                if self._late:
                    self._keep_late()
        if self._eviction.news:
            self._tell_losses()

    def unread(self) -> list[tuple[Segment, int]]:
        """Return the segments with records never sent, each with its present size in bytes."""
        with self.lock:
            return self._lanes.unread()

    def pending(self) -> dict[str, int]:
        """Return how many records and bytes wait for a confirmation; bytes go segment by segment."""
        with self.lock:
            records = sum(segment.pending_records for segment in self._lanes.all())
            return {"pending_records": records, "pending_bytes": self._lanes.bytes}

    def numbers(self) -> dict[str, int]:
        """Return what became of all that was reported or adopted: the other four add up to `reported`."""
        is_reentered = self._is_reentered
        with self.lock:
            if not is_reentered:
                self._keep_late()
            return self._lanes.numbers(late=len(self._late))

    def adopt(self, paths: Iterable[Path], journal: Journal) -> int:
        """Take over segments of one dead process while there is room; return how many records are open.

        One that cannot be moved stays where it is, and costs no other.
        """
        found: list[Segment] = []
        for path in paths:
            try:
                found += self._move(path)
            except OSError as error:
                pass_interruption(error)
                self._losses.log.warning(
                    str(path), "%s, left by a dead process, stays there: %s", path, error
                )
        parcels = restore_parcels(
            journal,
            {segment.path.name: segment for segment in found},
            confirm_timeout_s=self._settings.confirm_timeout_s,
        )
        self.own.note(*journal.lines({segment.path.name for segment in found}))
        records = sum(segment.records for segment in found)
        with self.lock:
            for segment in found:
                self._lanes.add(segment)
            self._restored += parcels
        return records

    def note(self, *lines: dict[str, object]) -> None:
        """Add lines to the journal of the folder."""
        self.own.note(*lines)

    def restored(self) -> list[Parcel]:
        """Return what adopted segments had under way, once."""
        with self.lock:
            restored, self._restored = self._restored, []
        return restored

    def settle(self) -> None:
        """Delete the closed segments whose records are all confirmed, and those dropped."""
        with self.lock:
            dropped, self._eviction.dropped = self._eviction.dropped, []
            settled = [segment for segment in self._lanes.closed() if segment.is_settled]
        if dropped or settled:
            process_holdings.now.note_moment()
        for segment in dropped:
            self._delete(segment)
        deleted = [segment for segment in settled if self._delete(segment)]
        with self.lock:
            for segment in deleted:
                self._lanes.forget(segment)
            self._is_shorter.notify_all()

    def tidy(self) -> None:
        """Close what is confirmed, delete it, and put back what somebody has removed of the folder."""
        self.own.restore_lock()
        with self.lock, Suppressed(OSError):
            self._keep_late()
            for segment in self._lanes.open.values():
                segment.restore()
        self.close_segments(only_settled=True)
        self.settle()
        with self.lock:
            names = {segment.path.name for segment in self._lanes.all() if segment.read_to}
        self.own.shorten(names)

    def close_segments(self, *, only_settled: bool = False) -> list[Segment]:
        """Close what is open and not empty, as far as the disk lets it, and return all that is not empty."""
        is_reentered = self._is_reentered
        with self.lock:
            for lane, segment in () if is_reentered else list(self._lanes.open.items()):
                if segment.size and (segment.is_settled or not only_settled):
                    with Suppressed(OSError):
                        self._begin_segment(lane)
            return [segment for segment in self._lanes.all() if segment.size or not segment.is_open]

    def wait_until_confirmed(self, segments: Collection[Segment], deadline: float) -> bool:
        """Return whether all of these were confirmed before a time of the monotonic clock."""

        def are_settled() -> bool:
            present = set(self._lanes.all())
            return all(segment.is_settled or segment not in present for segment in segments)

        with self.lock:
            lost = {segment: segment.lost_records for segment in segments}
            is_over = self._is_shorter.wait_for(are_settled, max(0.0, deadline - time.monotonic()))
            return is_over and not any(
                segment.is_dropped or segment.lost_records > lost[segment] for segment in segments
            )

    def sync(self) -> None:
        """Bring everything appended so far to the disk, and close the files of closed segments."""
        with self._syncing:
            with self.lock:
                retired, self._retired = self._retired, []
                # An interruption may have left one in both.
                retired = [segment for segment in retired if segment not in self._lanes.open.values()]
                written = [*self._lanes.open.values(), *retired]
            failure = None
            for segment in written if self._settings.fsync != "never" else ():
                try:
                    segment.sync()
                except OSError as error:
                    pass_interruption(error)
                    failure = error
            for segment in retired:
                segment.close()
            if self.own.has_new_names:
                self.sync_names()
        if failure:
            raise failure

    def sync_names(self, *files: Path) -> None:
        """Bring to the disk which files there are, and whom their events are for; and these files."""
        if self._settings.fsync != "never":
            for file in files:
                sync_path(file)
            self.own.sync()

    def close(self) -> dict[str, int]:
        """Let go of the folder and return the last numbers; what is not confirmed stays for a successor."""
        is_reentered = self._is_reentered
        with self.lock:
            if not is_reentered:
                self._keep_late()
            for segment in self._lanes.open.values():
                segment.is_open = False
                self._retired.append(segment)
            self._lanes.open.clear()
        try:
            self.sync()
        except OSError as error:
            pass_interruption(error)
            self._losses.log.warning("sync", "The outbox cannot be synced to the disk: %s", error)
        self.settle()
        self.own.remove()
        self.own.close()
        return self.numbers()

    def abandon(self) -> None:
        """Let go, in a forked child, of what belongs to the parent; takes no lock."""
        for segment in (*self._lanes.open.values(), *self._retired):
            segment.close()
        self.own.abandon()

    @property
    def _is_reentered(self) -> bool:
        """Return whether this thread is at work here already, and somebody has come in between."""
        return is_owned(self.lock)

    # Below, the caller holds the lock.

    def _fits(self, more_bytes: int) -> bool:
        return self._lanes.bytes + more_bytes <= self._settings.max_bytes

    def _keep(self, lane: Lane, record: bytes) -> None:
        """Write a record, if need be in place of others, or count it as lost."""
        segment = self._lanes.open.get(lane)
        # Nearly always so, and all that a hook then waits for.
        if segment is not None and segment.size < self._segment_bytes and self._fits(len(record)):
            try:
                self._write(segment, record)
            except OSError as error:
                pass_interruption(error)
            else:
                return
        self._keep_anyhow(lane, record)

    def _keep_anyhow(self, lane: Lane, record: bytes) -> None:
        while not self._fits(len(record)):
            if not self._eviction.make_room(lane):
                return self._lose(f"overflow_{lane}", "the outbox is full of what goes last")
        while True:
            segment = self._segment_for(lane)
            try:
                return self._write(segment, record)
            except OSError as error:
                pass_interruption(error)
                if segment is not self._lanes.open.get(lane):
                    continue  # A signal handler has closed it meanwhile.
                if error.errno == errno.EFBIG and self._is_begun_anew(lane):
                    continue
                if error.errno not in _FULL or not self._eviction.make_room(lane, is_disk_full=True):
                    return self._lose("disk", error)

    def _keep_late(self) -> None:
        while self._late:
            lane, record = self._late[0]
            if self._lanes.open:
                self._keep(lane, record)
            else:
                self._lose("closed", "the outbox was closed by a signal handler")
            self._late.popleft()

    def _segment_for(self, lane: Lane) -> Segment:
        segment = self._lanes.open.get(lane)
        if segment is not None and segment.size >= self._segment_bytes:
            with Suppressed(OSError):  # Rather a file too long than an event lost.
                self._begin_segment(lane)
            segment = self._lanes.open.get(lane)
        if segment is None:
            raise OutboxClosed
        return segment

    def _write(self, segment: Segment, record: bytes) -> None:
        segment.append(record)
        self._lanes.bytes += len(record)
        if self._settings.fsync == "always":
            with Suppressed(OSError):  # It is in the file; the thread that syncs says what is the matter.
                segment.sync()

    def _is_begun_anew(self, lane: Lane) -> bool:
        """Return whether a new segment stands in for one that may not grow: `ulimit -f`, or a quota."""
        former = self._lanes.open[lane]
        with Suppressed(OSError):
            if former.size:
                self._begin_segment(lane)
        return former is not self._lanes.open.get(lane)

    def _begin_segment(self, lane: Lane) -> None:
        try:
            segment = Segment.create(self.folder, lane)
        except FileNotFoundError:  # Somebody has removed the folder.
            segment = self._renew_folder(lane)
        self._lanes.add(segment)
        # In this order, because an interruption may come after each step that calls something.
        if (former := self._lanes.open.get(lane)) is not None:
            self._retired.append(former)
            former.is_open = False
        self._lanes.open[lane] = segment
        self.own.has_new_names = True
        if self._settings.fsync == "always":
            with Suppressed(OSError):
                self.sync_names()

    def _renew_folder(self, lane: Lane) -> Segment:
        fresh = make_folder(self._settings.spool_dir, self.own.broker)
        try:
            segment = Segment.create(fresh.path, lane)
        except BaseException:
            fresh.remove()
            fresh.close()
            raise
        former, self.own = self.own, fresh
        former.close()
        return segment

    def _lose(self, reason: str, cause: object) -> None:
        self._lanes.count_refused()
        self._losses.count(reason)
        self._eviction.news[reason] = cause

    # Below, nobody holds it.

    def _tell_losses(self) -> None:
        with self.lock:
            news, self._eviction.news = self._eviction.news, {}
        for reason, cause in news.items():
            self._losses.tell(reason, cause)

    def _move(self, path: Path) -> list[Segment]:
        if not self._fits(path.lstat().st_size):
            return []
        segment = Segment.find(path)
        with self.lock:
            if not self._fits(segment.size):
                return []
            self._lanes.bytes += segment.size
        try:
            segment.path = path.rename(self.folder / path.name)
        except OSError:
            with self.lock:
                self._lanes.bytes -= segment.size
            raise
        return [segment]

    def _delete(self, segment: Segment) -> bool:
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            pass_interruption(error)
            self._losses.log.warning("delete", "A file of the outbox cannot be deleted: %s", error)
            return False
        return True

    def _give_up(self) -> None:
        for segment in self._lanes.open.values():
            segment.close()
            self._delete(segment)
        self.own.remove()
        self.own.close()
