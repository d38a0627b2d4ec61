"""The outbox: the events of this process that no worker has confirmed, on disk and bounded."""

import os
import threading
import time
from bisect import insort
from collections.abc import Collection
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Final, get_args

from masterflow.domain.events import Lane
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.segments import Segment, encode_record
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.outbox.spool import make_folder, remove_folder

_LANES: Final[tuple[Lane, ...]] = get_args(Lane)
_name = attrgetter("path.name")


class OutboxClosed(Exception):
    """The outbox was shut down meanwhile; the next one takes the event."""


class Outbox:
    """A folder with two lanes of segments, of which the oldest details are dropped when it is full.

    Order between and within lanes does not matter, because merging does not depend on it. `append` is
    for any thread and costs one write; the other methods belong to the threads that send and sync.
    """

    def __init__(self, settings: OutboxSettings, losses: Losses) -> None:
        """Make the folder and its first segments, or fail with OSError."""
        self._settings = settings
        self._losses = losses
        self.folder, self._folder_lock = make_folder(settings.spool_dir)
        self._lock = threading.Lock()
        self._is_shorter = threading.Condition(self._lock)
        self._bytes = 0
        self._segments: dict[Lane, list[Segment]] = {lane: [] for lane in _LANES}
        self._open: dict[Lane, Segment] = {}
        self._retired: list[Segment] = []
        self._dropped: list[Segment] = []
        self._has_new_files = False
        for lane in _LANES:
            self._begin_segment(lane)

    @property
    def sender_id(self) -> str:
        """Return the name under which workers confirm this outbox's batches."""
        return self.folder.name

    def append(self, lane: Lane, event: bytes) -> None:
        """Keep an event's JSON; once this returns, the event outlives the process.

        With OSError the disk is full or gone and the event is lost; with OutboxClosed it belongs into
        the next outbox.
        """
        record = encode_record(event)
        dropped_records = 0
        with self._lock:
            if not self._fits(len(record)):
                dropped_records = self._drop_details(len(record))
            if is_kept := self._fits(len(record)):
                self._write(lane, record)
        if dropped_records:
            self._losses.note("overflow_detail", "the outbox is full", dropped_records)
        if not is_kept:
            self._losses.note(f"overflow_{lane}", "the outbox is full of what goes last")

    def unread(self) -> list[tuple[Segment, int]]:
        """Return the segments with records never sent, each with its present size in bytes."""
        with self._lock:
            return [(segment, segment.size) for segment in self._all() if segment.read_to < segment.size]

    def pending(self) -> dict[str, int]:
        """Return how many records and bytes wait for a confirmation; bytes go segment by segment."""
        with self._lock:
            records = sum(segment.pending_records for segment in self._all())
            return {"pending_records": records, "pending_bytes": self._bytes}

    def adopt(self, path: Path) -> int:
        """Take over a dead process's segment if there is room for it; return its number of records."""
        segment = Segment.find(path)
        with self._lock:
            if not self._fits(segment.size):
                return 0
            segment.path = path.rename(self.folder / path.name)
            self._bytes += segment.size
            insort(self._segments[segment.lane], segment, key=_name)
        return segment.records

    def settle(self) -> None:
        """Delete the closed segments whose records are all confirmed, and those dropped."""
        with self._lock:
            dropped, self._dropped = self._dropped, []
            settled = [segment for segment in self._closed() if segment.is_settled]
        for segment in (*dropped, *settled):
            segment.path.unlink(missing_ok=True)
        with self._lock:
            for segment in settled:
                self._forget(segment)
            self._is_shorter.notify_all()

    def close_segments(self, *, only_settled: bool = False) -> list[Segment]:
        """Close what is open and not empty, and return all closed segments."""
        with self._lock:
            for lane, segment in list(self._open.items()):
                if segment.size and (segment.is_settled or not only_settled):
                    self._begin_segment(lane)
            return self._closed()

    def wait_until_confirmed(self, segments: Collection[Segment], deadline: float) -> bool:
        """Return whether all of these were confirmed before a time of the monotonic clock."""
        with self._lock:
            is_gone = self._is_shorter.wait_for(
                lambda: not set(segments).intersection(self._all()), max(0.0, deadline - time.monotonic())
            )
        return is_gone and not any(segment.is_dropped for segment in segments)

    def sync(self) -> None:
        """Bring everything appended so far to the disk, and close the files of closed segments."""
        with self._lock:
            retired, self._retired = self._retired, []
            has_new_files, self._has_new_files = self._has_new_files, False
            written = [*self._open.values(), *retired]
        try:
            if self._settings.fsync != "never":
                for segment in written:
                    segment.sync()
                if has_new_files:
                    self._sync_folders()
        finally:
            for segment in retired:
                segment.close()

    def close(self) -> None:
        """Let go of the folder; what is not confirmed stays for the next process."""
        with self._lock:
            self._retired += self._open.values()
            self._open.clear()
        try:
            self.sync()
            self.settle()
            remove_folder(self.folder)
        finally:
            os.close(self._folder_lock)

    def abandon(self) -> None:
        """Let go, in a forked child, of what belongs to the parent; takes no lock."""
        for segment in (*self._open.values(), *self._retired):
            segment.close()
        os.close(self._folder_lock)

    # Below, the caller holds the lock.

    def _all(self) -> list[Segment]:
        return [segment for lane in _LANES for segment in self._segments[lane]]

    def _closed(self) -> list[Segment]:
        return [segment for segment in self._all() if segment not in self._open.values()]

    def _fits(self, more_bytes: int) -> bool:
        return self._bytes + more_bytes <= self._settings.max_bytes

    def _write(self, lane: Lane, record: bytes) -> None:
        if not self._open:
            raise OutboxClosed
        if self._open[lane].size >= self._settings.segment_bytes:
            with suppress(OSError):  # Rather a file too long than an event lost.
                self._begin_segment(lane)
        segment = self._open[lane]
        segment.append(record)
        self._bytes += len(record)
        if self._settings.fsync == "always":
            segment.sync()

    def _begin_segment(self, lane: Lane) -> None:
        try:
            segment = Segment.create(self.folder, lane)
        except FileNotFoundError:  # Somebody has removed the folder.
            os.close(self._folder_lock)
            self.folder, self._folder_lock = make_folder(self._settings.spool_dir)
            segment = Segment.create(self.folder, lane)
        if lane in self._open:
            self._open[lane].is_open = False
            self._retired.append(self._open[lane])
        self._open[lane] = segment
        insort(self._segments[lane], segment, key=_name)
        self._has_new_files = True
        if self._settings.fsync == "always":
            self._sync_folders()

    def _drop_details(self, wanted_bytes: int) -> int:
        dropped_records = 0
        for segment in [segment for segment in self._segments["detail"] if segment.size]:
            if self._fits(wanted_bytes):
                break
            if segment is self._open.get("detail"):
                self._begin_segment("detail")
            self._forget(segment)
            segment.is_dropped = True
            self._dropped.append(segment)
            dropped_records += segment.pending_records
        return dropped_records

    def _forget(self, segment: Segment) -> None:
        if segment in self._segments[segment.lane]:
            self._segments[segment.lane].remove(segment)
            self._bytes -= segment.size

    def _sync_folders(self) -> None:
        for folder in (self.folder, self.folder.parent):
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
