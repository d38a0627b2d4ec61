"""The files of an outbox: append-only segments of checked records."""

import errno
import os
import re
import resource
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Final, NoReturn, Self

from masterflow.domain.events import Lane
from masterflow.domain.interruptions import Suppressed, pass_interruption
from masterflow.domain.life.own_files import is_own_file, open_own
from masterflow.tracker.outbox.folder import CutSpan, sync_path

#: What one message holds, unless a single event is larger. Packing it keeps the interpreter from the
#: hooks for about a millisecond; with 1 MB it would be four.
MAX_BATCH_RECORDS: Final = 500
MAX_BATCH_BYTES: Final = 256_000

#: How far one cut reads, so that each of many client accounts gets a message worth sending.
_MOST_READ_BYTES: Final = 4_000_000

_ACCOUNT_KEY: Final = b'"client_account_id":"'
_UUID_CHARS: Final = 36
_UUID: Final = re.compile(rb"[0-9a-f-]{36}")

# Behind the event's id and the key's name. To look for the key in 500 events takes 130 microseconds, this 45.
_FLOW_ID: Final = slice(62, 98)

_NAME: Final = re.compile(r"(vital|detail)-(\d{16})-[0-9a-f]+\.log")
_CLOSED: Final = -1
_CHUNK_BYTES: Final = 1_000_000
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

#: In a line whose beginning is damaged, one of the last places that look like a record is its own.
_RECORD_START: Final = re.compile(rb"[0-9a-f]{8} \{")
_MOST_TRIED: Final = 16


def encode_record(event: bytes) -> bytes:
    """Return one line: CRC-32 of the event's JSON in 8 hexadecimal digits, a space, and the JSON."""
    return b"%08x %b\n" % (zlib.crc32(event), event)


def decode_record(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the client account and the event's JSON, or None if the line is torn or damaged."""
    event = line[9:]
    # The account's id comes before anything that a caller wrote.
    key = event.find(_ACCOUNT_KEY)
    if key < 0 or line[:8] != b"%08x" % zlib.crc32(event):
        return None
    start = key + len(_ACCOUNT_KEY)
    return event[start : start + _UUID_CHARS], event


def _record_behind(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the record that a damaged one before it has run into, so that the damage costs one only."""
    starts = [match.start() for match in _RECORD_START.finditer(line, 1)]
    found = (decode_record(line[start:]) for start in starts[-_MOST_TRIED:])
    return next((record for record in found if record), None)


def flow_ids_in(events: Iterable[bytes], most: int) -> tuple[str, ...]:
    """Return the flows that these events' JSON names, each once, at most so many."""
    found = dict.fromkeys([event[_FLOW_ID] for event in events])
    return tuple(text.decode() for text in islice(found, most) if _UUID.fullmatch(text))


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was read of a segment up to `end`: events' JSON by client account."""

    end: int
    events: dict[bytes, list[bytes]]
    corrupt_records: int


class Segment:
    """One file of records; any thread appends under its outbox's lock, the sender's thread reads.

    It knows how far it was read and what became of each record, but holds no events.
    """

    def __init__(self, path: Path, descriptor: int = _CLOSED) -> None:
        self.path = path
        self.lane: Lane = "vital" if path.name.startswith("vital-") else "detail"
        self.size = 0
        # Each record is confirmed, lost or under way; the others wait.
        self.records = 0
        self.confirmed_records = self.lost_records = 0
        self.under_way_records = self.batches_under_way = 0
        self.read_to = 0
        #: False once no more records will follow, though the file may still have to be synced.
        self.is_open = descriptor != _CLOSED
        self.is_dropped = False
        #: How often what was not read yet has been rewritten, and how much was left out of it.
        self.rewrites = 0
        self.seen_rewrites = 0  # When the sender's thread last looked how far it may read.
        self.thinned = self.thinned_size = 0
        self._descriptor = descriptor
        self._file = _file_of(descriptor) if self.is_open else None
        self._synced = (0, 0)

    @classmethod
    def create(cls, folder: Path, lane: Lane) -> Self:
        """Make a new segment, whose name sorts by time."""
        path = folder / _new_name(lane)
        return cls(path, os.open(path, _NEW, 0o600))

    @classmethod
    def find(cls, path: Path) -> Self:
        """Return the closed segment that another process wrote."""
        segment = cls(path)
        descriptor = open_own(path)
        try:
            segment.size = os.fstat(descriptor).st_size
            segment.records = _lines_in(descriptor, segment.size)
        finally:
            os.close(descriptor)
        return segment

    @property
    def age_s(self) -> float:
        """Return the seconds since the segment was made."""
        return max(0.0, time.time() - int(self.path.name.split("-")[1]) / 1e6)

    @property
    def pending_records(self) -> int:
        """Return how many records no worker has confirmed and nobody has given up."""
        return self.records - self.confirmed_records - self.lost_records

    @property
    def is_settled(self) -> bool:
        """Return whether every record was read, sent and confirmed."""
        return self.read_to == self.size and not self.batches_under_way

    def unread_lines(self) -> int:
        """Return how many records its file has behind what was read; 0 if that cannot be seen now."""
        with Suppressed(OSError):
            return _line_count(self.data(self.read_to, self.size))
        return 0

    def balance(self) -> int:
        """Once all was read, count what was appended and not found there as lost; return how many that is.

        What was found beyond it was put there by somebody, and counts as reported.
        """
        missing = self.pending_records - self.under_way_records
        # Whoever took it over may have been unable to read it then.
        if missing < 0 and not self.is_dropped:
            self.records -= missing
        if self.read_to < self.size or self.is_dropped or missing <= 0:
            return 0
        self.lost_records += missing
        return missing

    def append(self, record: bytes) -> None:
        """Write a record in one system call.

        Raises:
            OSError: the disk is full or gone; nothing of the record is left.
        """
        # At its place, not at the file's end: what an interrupted append has left is written over.
        size, at = len(record), self.size
        try:
            if (written := os.pwrite(self._descriptor, record, at)) < size:
                _fail_short(written, size, at)
        except OSError as error:
            pass_interruption(error)
            with Suppressed(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += size
        self.records += 1

    def rewrite_unread(self, data: bytes) -> None:
        """Replace what was not read yet by some of its records, in their order.

        A kill in between leaves the others where they are, and so does a power cut, unless the disk has
        no room for both files. With OSError nothing has changed.
        """
        try:
            self._replace(self.data(0, self.read_to) + data)
        except OSError as error:
            pass_interruption(error)
            descriptor = open_own(self.path, os.O_WRONLY)
            try:
                self._check_identity(descriptor)
                # In this order, because none moves towards the end.
                _write_whole(descriptor, data, self.read_to)
                os.ftruncate(descriptor, self.read_to + len(data))
            finally:
                os.close(descriptor)
        self.size = self.read_to + len(data)
        self.rewrites += 1

    def emptied(self) -> Self:
        """Give the open file, emptied and under a new name, to a new segment; this one is gone then."""
        path = self.path.rename(self.path.with_name(_new_name(self.lane)))
        os.ftruncate(self._descriptor, 0)
        fresh = type(self)(path, self._descriptor)
        self._descriptor, self.is_open = _CLOSED, False
        return fresh

    def restore(self) -> bool:
        """Write the open file anew where somebody has removed or replaced it; return whether it stands.

        Its user holds the outbox's lock. With OSError it cannot be written, and nothing has changed.
        """
        if not self.is_open:
            return False
        with Suppressed(FileNotFoundError):
            if _file_of(self.path) == self._file:
                return True
        self._replace(os.pread(self._descriptor, self.size, 0))
        return True

    def _replace(self, data: bytes) -> None:
        draft = self.path.with_name(f".{self.path.name}")
        fresh = os.open(draft, _NEW, 0o600)
        try:
            _write_whole(fresh, data, 0)
            # Before it has the name, under which the former one's bytes may have been synced.
            os.fdatasync(fresh)
            draft.replace(self.path)
            if self.is_open:
                os.dup2(fresh, self._descriptor, inheritable=False)
                self._file = _file_of(fresh)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        finally:
            os.close(fresh)
        with Suppressed(OSError):
            sync_path(self.path.parent)

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        state = self.rewrites, self.size  # It may have been made shorter, and have grown again.
        if self._descriptor != _CLOSED and state != self._synced:
            os.fdatasync(self._descriptor)
            self._synced = state

    def close(self) -> None:
        """Let go of the file; it stays where it is."""
        self.is_open = False
        # In this order, because a fork in between must not leave the child a descriptor it no longer has.
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)

    def read(
        self,
        start: int,
        up_to: int,
        *,
        max_records: int = MAX_BATCH_RECORDS,
        max_bytes: int = MAX_BATCH_BYTES,
    ) -> Stretch:
        """Return the events from `start` on, at least one even if it is larger; a torn end is skipped."""
        data = self.data(start, min(up_to, start + max_bytes))
        if b"\n" not in data and start + len(data) < up_to:
            data, max_records = self.data(start, up_to), 1
        *lines, tail = data.split(b"\n", max_records)
        if lines:
            return _stretch(lines, end=start + len(data) - len(tail))
        return _stretch([tail or b"?"], end=up_to)

    def data(self, start: int, end: int) -> bytes:
        """Return the bytes between two offsets; FileNotFoundError also if another file has its name."""
        descriptor = open_own(self.path)
        try:
            self._check_identity(descriptor)
            return os.pread(descriptor, end - start, start)
        finally:
            os.close(descriptor)

    def _check_identity(self, descriptor: int) -> None:
        if self.is_open and _file_of(descriptor) != self._file:
            raise FileNotFoundError(errno.ENOENT, "another file stands in its place", self.path)


@dataclass(slots=True)
class Span:
    """A stretch of a segment, and how many of its records are in the batch."""

    segment: Segment
    start: int
    end: int
    record_count: int
    #: How many of them a repetition did not find any more.
    missing_records: int = 0

    def read(self) -> dict[bytes, list[bytes]]:
        """Return all events of the stretch by client account, also those of other batches."""
        events: dict[bytes, list[bytes]] = {}
        start = self.start
        while start < self.end:
            found = self.segment.read(start, self.end)
            start = found.end
            for account, texts in found.events.items():
                events.setdefault(account, []).extend(texts)
        return events


@dataclass(slots=True, eq=False)
class Cut:
    """What is read from the segments at once: a batch for each client account in it."""

    spans: dict[Segment, CutSpan] = field(default_factory=dict)
    events: dict[str, list[bytes]] = field(default_factory=dict)
    bytes: int = 0

    def room(self) -> tuple[int, int]:
        """Return how many more records and bytes it may read."""
        records = max(map(len, self.events.values()), default=0)
        size = max((sum(map(len, events)) for events in self.events.values()), default=0)
        if self.bytes >= _MOST_READ_BYTES:
            return 0, 0
        return MAX_BATCH_RECORDS - records, MAX_BATCH_BYTES - size

    def add(self, segment: Segment, start: int, found: Stretch) -> None:
        """Take in what was read of a segment behind what was taken in of it before."""
        counts = {account.decode(): len(events) for account, events in found.events.items()}
        _, first, _, corrupt, before = self.spans.get(segment, (segment.path.name, start, start, 0, {}))
        counts = {
            account: before.get(account, 0) + counts.get(account, 0) for account in {**before, **counts}
        }
        name = segment.path.name
        self.spans[segment] = (name, first, found.end, corrupt + found.corrupt_records, counts)
        for account, events in found.events.items():
            self.events.setdefault(account.decode(), []).extend(events)
        self.bytes += found.end - start


def is_segment_name(name: str) -> bool:
    """Return whether a file of this name would be a segment."""
    return _NAME.fullmatch(name) is not None


def segments_in(folder: Path) -> list[Path]:
    """Return the segment files of an outbox's folder; what else stands there is none of ours."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _NAME.fullmatch(entry.name) and is_own_file(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names)]


def _lines_in(descriptor: int, size: int) -> int:
    """Return how many records a file has, without holding more than a little of it."""
    count, last = 0, b"\n"
    for start in range(0, size, _CHUNK_BYTES):
        if not (data := os.pread(descriptor, min(_CHUNK_BYTES, size - start), start)):
            break
        count, last = count + data.count(b"\n"), data[-1:]
    return count + (last != b"\n")


def _line_count(data: bytes) -> int:
    return data.count(b"\n") + bool(data and not data.endswith(b"\n"))


def _new_name(lane: Lane) -> str:
    return f"{lane}-{time.time_ns() // 1000:016d}-{token_hex(4)}.log"


def _file_of(place: int | Path) -> tuple[int, int]:
    status = os.stat(place)  # noqa: PTH116  of a descriptor too
    return status.st_dev, status.st_ino


def _write_whole(descriptor: int, data: bytes, at: int) -> None:
    written = os.pwrite(descriptor, data, at) if data else 0
    if written < len(data):
        _fail_short(written, len(data), at)


def _fail_short(written: int, size: int, at: int) -> NoReturn:
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    is_too_big = limit != resource.RLIM_INFINITY and at + size > limit
    raise OSError(errno.EFBIG if is_too_big else errno.ENOSPC, f"the file took {written} of {size} bytes")


def _stretch(lines: list[bytes], *, end: int) -> Stretch:
    events: dict[bytes, list[bytes]] = {}
    corrupt_records = 0
    for line in lines:
        if record := decode_record(line) or _record_behind(line):
            events.setdefault(record[0], []).append(record[1])
        else:
            corrupt_records += 1
    return Stretch(end, events, corrupt_records)
