"""The spool: one folder per process, locked for as long as the process lives."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

from masterflow.tracker.outbox.segments import Segment, segments_in

_LOCK: Final = "lock"


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """What waits in one folder; what is confirmed already may still be counted for about a second."""

    name: str
    has_owner: bool
    records: int
    bytes: int
    oldest_age_s: float


def make_folder(spool: Path) -> tuple[Path, int]:
    """Make a folder for this process and return it with its lock, held until that descriptor is closed.

    It gets its name only once it is locked, so that nobody takes it for an orphan.
    """
    spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    host = re.sub(r"[^\w.-]", "_", socket.gethostname())
    name = f"{host}-{os.getpid()}-{token_hex(4)}"
    folder = spool / f".{name}"
    folder.mkdir(mode=0o700)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder.rename(spool / name), lock


def remove_folder(folder: Path) -> None:
    """Remove a locked folder unless events are left in it."""
    if not segments_in(folder):
        with suppress(FileNotFoundError):
            (folder / _LOCK).unlink()
            folder.rmdir()


def folders(spool: Path) -> list[Path]:
    """Return the folders of all processes, living and dead."""
    return sorted(path.parent for path in spool.glob(f"[!.]*/{_LOCK}"))


@contextmanager
def lock_of_dead(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock and yield True, or yield False if its owner lives."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _is_taken(lock)
    finally:
        # Unlock rather than only close: a child forked meanwhile holds a copy of the descriptor.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def statuses(spool: Path) -> list[FolderStatus]:
    """Return what waits in each folder."""
    return [_status(folder) for folder in folders(spool)]


def waiting_records(spool: Path) -> int:
    """Return how many records wait in all folders; 0 only if none does.

    A segment that is adopted during a look may be passed over, in neither folder; by two looks it is not.
    """
    return _records_seen(spool) or _records_seen(spool)


def purge(spool: Path) -> int:
    """Delete what dead processes left, undelivered, and return how many records that were."""
    purged_records = 0
    for folder in folders(spool):
        with lock_of_dead(folder) as is_dead:
            if is_dead:
                for path in segments_in(folder):
                    purged_records += Segment.find(path).records
                    path.unlink()
                remove_folder(folder)
    return purged_records


def _records_seen(spool: Path) -> int:
    return sum(folder.records for folder in statuses(spool))


def _is_taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _status(folder: Path) -> FolderStatus:
    with lock_of_dead(folder) as is_dead:
        has_owner = not is_dead
    found = []
    for path in segments_in(folder):
        with suppress(FileNotFoundError):
            found.append(Segment.find(path))
    return FolderStatus(
        name=folder.name,
        has_owner=has_owner,
        records=sum(segment.records for segment in found),
        bytes=sum(segment.size for segment in found),
        oldest_age_s=max((segment.age_s for segment in found if segment.size), default=0.0),
    )
