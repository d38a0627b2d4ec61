"""The folder of one process in the spool: its lock and, in the lock's file, what was sent of it."""

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Self, TypeVar

from masterflow.domain.interruptions import Suppressed, pass_interruption

LOCK: Final = "lock"

#: One stretch of a segment: its file's name, start, end, damaged records, and records by client account.
CutSpan = tuple[str, int, int, int, dict[str, int]]

#: A file that is about to be a lock or a segment.
_DRAFT: Final = re.compile(r"\.([0-9a-f]{8}|(vital|detail)-.+\.log)")

T = TypeVar("T")

_CLOSED: Final = -1
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_PART: Final = 50
_LONG_BYTES: Final = 256_000
_MOST_READ_BYTES: Final = 16_000_000


@dataclass(slots=True)
class Sent:
    """Under which names a batch was sent, when last (in seconds since 1970), and how often."""

    names: dict[str, None] = field(default_factory=dict)
    at: float = 0.0
    times: int = 0


@dataclass(slots=True)
class Journal:
    """What the owner of a folder noted; what is missing or torn costs copies, never an event.

    One JSON object a line: `{"broker": address}`, whom the events are for; `{"cut": [CutSpan, …]}`, what
    was put under way together; `{"sent": [batch_id, sender_id, seconds since 1970, times]}`;
    `{"done": [batch_id, …]}`.
    """

    broker: str = ""
    cuts: list[list[CutSpan]] = field(default_factory=list)
    sent: dict[str, Sent] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, descriptor: int) -> Self:
        """Return what a lock's file says."""
        journal = cls()
        for lines in _in_parts(os.pread(descriptor, _MOST_READ_BYTES, 0).splitlines()):
            for line in _objects(lines):
                with Suppressed(ValueError, TypeError, KeyError, AttributeError):
                    journal._add(line)
        return journal

    def lines(self, segments: Collection[str]) -> list[dict[str, Any]]:
        """Return what it says about these segments, as lines of another one."""
        cuts = [cut for cut in self.cuts if any(span[0] in segments for span in cut)]
        ids = {
            batch_id_of(account, spans)
            for part in _in_parts(cuts)
            for cut in part
            for account, spans in accounts_of(cut).items()
        }
        sent = [
            {"sent": [batch_id, name, note.at, 1 if place else note.times - len(note.names) + 1]}
            for batch_id, note in self.sent.items()
            if batch_id in ids
            for place, name in enumerate(note.names)
        ]
        return [*({"cut": cut} for cut in cuts), *sent, {"done": sorted(self.done & ids)}]

    def _add(self, line: dict[str, Any]) -> None:
        match line:
            case {"broker": str(broker)}:
                self.broker = broker
            case {"cut": spans}:
                self.cuts.append([_span(span) for span in spans])
            case {"sent": [str(batch_id), str(name), at, times]}:
                note = self.sent.setdefault(batch_id, Sent())
                note.names[name] = None
                note.at = max(note.at, float(at))
                note.times += int(times)
            case {"done": batch_ids}:
                self.done.update(batch_ids)


def accounts_of(cut: Iterable[CutSpan]) -> dict[str, list[CutSpan]]:
    """Return the spans of a cut by client account: each of them is one batch."""
    spans: dict[str, list[CutSpan]] = {}
    for span in cut:
        for account in span[4]:
            spans.setdefault(account, []).append(span)
    return spans


def batch_id_of(account: str, spans: Iterable[CutSpan]) -> str:
    """Return the id of an account's batch; it follows from what is in it, so that a successor knows it."""
    places = [account, *(f"{name}:{start}-{end}" for name, start, end, *_ in spans)]
    digest = hashlib.blake2b("|".join(places).encode(), digest_size=16).hexdigest()
    # A version 8 UUID (RFC 9562), whose bits are its maker's.
    variant = f"{int(digest[16], 16) & 3 | 8:x}"
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:]}"


class Folder:
    """This process's folder, locked for as long as the process lives."""

    def __init__(
        self,
        path: Path,
        descriptor: int,
        broker: str,
        *,
        excludes_others: bool,
        unsynced: Iterable[Path] = (),
    ) -> None:
        self.path = path
        #: Whom its events are for; empty while this process's settings do not say.
        self.broker = broker
        #: Whether the lock keeps others out; else nobody can tell whose process lives.
        self.excludes_others = excludes_others
        self._descriptor = descriptor
        self._writing = threading.RLock()
        self._size = os.fstat(descriptor).st_size
        self._short_at = _LONG_BYTES
        self._is_synced = False
        #: Whether names of files may be lost with the power.
        self.has_new_names = True
        #: In which folders others got a name as the spool was made.
        self._unsynced = tuple(unsynced)

    def belong_to(self, broker: str) -> bool:
        """Return whether its events are for this broker; they are from now on if that was not known."""
        with self._writing:
            if not self.broker and self._descriptor != _CLOSED:
                with Suppressed(OSError):
                    _write(self._descriptor, _text({"broker": broker}), self._size)
                    self._size, self.broker = os.fstat(self._descriptor).st_size, broker
                    # Or a power cut would leave events that are for nobody.
                    os.fsync(self._descriptor)
            return self.broker == broker

    def note(self, *lines: dict[str, Any]) -> None:
        """Add lines to the journal; where the disk takes none, a successor sends more copies."""
        data = _text(*lines)
        with self._writing:
            try:
                if self._descriptor != _CLOSED:
                    _write(self._descriptor, data, self._size)
                    self._size += len(data)
            except OSError as error:
                pass_interruption(error)
                # It may be as long as a file may be.
                self._short_at = 0

    def shorten(self, segments: Collection[str]) -> None:
        """Forget what a long journal says about other segments than these."""
        if self._size < self._short_at and (segments or self._size < _LONG_BYTES // 64):
            return
        with self._writing, Suppressed(OSError):
            if self._descriptor == _CLOSED:
                return
            lines = Journal.read(self._descriptor).lines(segments)
            data = _text({"broker": self.broker}, *lines)
            # Cut last: a kill in between leaves lines of before behind the new ones, which costs copies.
            if len(data) < self._size:
                _write(self._descriptor, data, 0)
                os.ftruncate(self._descriptor, len(data))
                self._size = len(data)
            self._short_at = max(_LONG_BYTES, 2 * self._size)

    def sync(self) -> None:
        """Bring the names of new files to the disk, and the journal's beginning.

        Raises:
            OSError: some of them may be lost with the power; the next call tries again.
        """
        self.has_new_names = False
        try:
            with self._writing:
                if self._descriptor != _CLOSED and not self._is_synced:
                    os.fsync(self._descriptor)
                    self._is_synced = True
            for folder in (self.path, self.path.parent):
                sync_path(folder)
        except OSError:
            self.has_new_names = True
            raise
        for folder in self._unsynced:
            with Suppressed(OSError):  # What one may write into, one need not be allowed to read.
                sync_path(folder)
        self._unsynced = ()

    def restore_lock(self) -> None:
        """Put the lock back if somebody has removed it, so that the folder is seen and nobody's orphan."""
        with self._writing, Suppressed(OSError):
            if self._descriptor == _CLOSED or os.fstat(self._descriptor).st_nlink or not self.path.is_dir():
                return
            fresh, draft = lock_new(self.path / f".{token_hex(4)}")
            try:
                _write(fresh, os.pread(self._descriptor, self._size, 0), 0)
                os.link(draft, self.path / LOCK)
                fresh, self._descriptor = self._descriptor, fresh
                self._is_synced = False
            finally:
                os.close(fresh)
                draft.unlink()
            self.sync()

    def remove(self) -> None:
        """Remove the folder unless something is left in it."""
        remove_folder(self.path)

    def close(self) -> None:
        """Let go of the lock."""
        with self._writing:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the lock, also in a forked child, where another thread may have been writing."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


def make_folder(spool: Path, broker: str = "") -> Folder:
    """Make a folder for this process, held until it is closed; its events are for that broker.

    It gets its name only once it is locked, so that nobody takes it for an orphan. With OSError nothing
    of it is left.
    """
    missing = [folder for folder in (spool, *spool.parents) if not folder.exists()]
    spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    host = re.sub(r"[^\w.-]", "_", socket.gethostname())
    name = f"{host}-{os.getpid()}-{token_hex(4)}"
    draft = spool / f".{name}"
    draft.mkdir(mode=0o700)
    descriptor = _CLOSED
    try:
        descriptor, lock = lock_new(draft / LOCK)
        # Before the folder can be seen: events whose broker nobody knows would be sent to none.
        _write(descriptor, _text({"broker": broker}), 0)
        excludes_others = not can_lock(lock)
        return Folder(
            draft.rename(spool / name),
            descriptor,
            broker,
            excludes_others=excludes_others,
            unsynced=[folder.parent for folder in missing],
        )
    except BaseException:
        if descriptor != _CLOSED:
            os.close(descriptor)
        with Suppressed(OSError):
            (draft / LOCK).unlink(missing_ok=True)
            draft.rmdir()
        raise


def lock_new(path: Path) -> tuple[int, Path]:
    """Make a file and lock it, as far as its file system can; return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with Suppressed(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor, path


def sync_path(path: Path) -> None:
    """Bring a file's bytes to the disk, or which names stand in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_taken(descriptor: int) -> bool:
    """Return whether this takes the lock; False if its owner lives, OSError if there are no locks here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pass_interruption(error)
        return False
    return True


def remove_folder(path: Path) -> None:
    """Remove a locked folder if nothing but the lock is in it, and drafts that a kill has left."""
    with Suppressed(OSError):
        names = {entry.name for entry in os.scandir(path)}
        if all(_DRAFT.fullmatch(name) for name in names - {LOCK}):
            for name in names | {LOCK}:
                (path / name).unlink(missing_ok=True)
            path.rmdir()


def can_lock(path: Path) -> bool:
    """Return whether a locked file can be locked once more, or never, so that locks say nothing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return is_taken(descriptor)
    except OSError as error:
        pass_interruption(error)
        return True
    finally:
        os.close(descriptor)


def _text(*lines: dict[str, Any]) -> bytes:
    parts = _in_parts(lines)
    return b"".join(_ENCODER.encode(line).encode() + b"\n" for part in parts for line in part)


def _in_parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield a few at a time, and let other threads go on in between: a long journal takes 100 ms."""
    for start in range(0, len(items), _PART):
        if start:
            time.sleep(0)
        yield items[start : start + _PART]


def _objects(lines: Sequence[bytes]) -> Iterable[Any]:
    """Return what each line says; one that is torn says nothing."""
    with Suppressed(ValueError):
        # All at once, which takes a third of the time.
        return list(json.loads(b"[%b]" % b",".join(lines)))
    found = []
    for line in lines:
        with Suppressed(ValueError):
            found.append(json.loads(line))
    return found


def _write(descriptor: int, data: bytes, at: int) -> None:
    if (written := os.pwrite(descriptor, data, at)) < len(data):
        raise OSError(errno.ENOSPC, f"the journal took {written} of {len(data)} bytes")


def _span(item: Iterable[Any]) -> CutSpan:
    name, start, end, corrupt_records, counts = item
    return str(name), int(start), int(end), int(corrupt_records), {str(k): int(n) for k, n in counts.items()}
