"""The spool: the folders of all processes of a host, living and dead, and what waits in them."""

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

from masterflow.domain.life.holding import HOLDING
from masterflow.domain.life.own_files import check_own_folder, is_own_file, open_own
from masterflow.tracker.outbox.folder import (
    LOCK,
    Journal,
    accounts_of,
    batch_id_of,
    can_lock,
    is_taken,
    lock_new,
    make_folder,
    remove_folder,
)
from masterflow.tracker.outbox.segments import Segment, is_segment_name, segments_in

__all__ = [
    "FolderStatus",
    "folders",
    "lock_of_dead",
    "make_folder",
    "purge",
    "remove_folder",
    "shared_file_system",
    "statuses",
    "waiting_records",
]

#: A living owner puts a lost lock back within a second, unless it is of an earlier version.
_LOCKLESS_S: Final = 60.0

_NAME: Final = re.compile(r".+-\d+-[0-9a-f]{8}")

#: File systems that other hosts may use too, or that may keep locks to themselves.
_SHARED: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "lustre",
        "glusterfs",
        "virtiofs",
        "afs",
        "ocfs2",
        "gfs2",
    }
)


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """What waits in one folder; what is confirmed already may still be counted for about a second."""

    name: str
    has_owner: bool
    records: int
    bytes: int
    oldest_age_s: float
    #: Whom its events are for; empty if it does not say.
    broker: str = ""
    #: Why it cannot be looked at, or not be taken over; empty if nothing is the matter.
    trouble: str = ""

    @property
    def may_wait(self) -> int:
        """Return how many records wait, at least one if that cannot be seen."""
        return max(self.records, 1 if self.trouble else 0)


def folders(spool: Path) -> list[Path]:
    """Return the folders of all processes, living and dead, also those that cannot be read."""
    try:
        with os.scandir(spool) as entries:
            names = [
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [spool / name for name in sorted(names) if _is_ours(spool / name)]


@contextmanager
def lock_of_dead(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock and yield True, or yield False if its owner lives or may live."""
    with _lock_of_dead(folder) as (is_dead, _):
        yield is_dead


@contextmanager
def claimed(folder: Path) -> Iterator[Journal | None]:
    """Hold a dead process's folder and yield its journal, or yield None if its owner lives or may live."""
    with _lock_of_dead(folder) as (is_dead, descriptor):
        yield Journal.read(descriptor) if is_dead else None


def broker_of(folder: Path) -> str:
    """Return whom a folder's events are for; empty if it does not say."""
    try:
        check_own_folder(folder)
        return _journal_of(folder).broker
    except OSError:
        return ""


def statuses(spool: Path) -> list[FolderStatus]:
    """Return what waits in each folder."""
    return [_status(folder) for folder in folders(spool)]


def waiting_records(spool: Path) -> int:
    """Return how many records wait in all folders; 0 only if none does, and one for what cannot be read.

    A segment that is adopted during a look may be passed over, in neither folder; by two looks it is not.
    """
    return _records_seen(spool) or _records_seen(spool)


def purge(spool: Path, *, broker: str | None = None) -> int:
    """Delete what dead processes left, undelivered, and return how many records that were.

    With a broker, only what is for that one.
    """
    purged_records = 0
    if not locks_work(spool):
        return 0
    for folder in folders(spool):
        with suppress(OSError), claimed(folder) as journal:
            if journal is not None and broker in (None, journal.broker):
                for path in segments_in(folder):
                    records = Segment.find(path).records
                    path.unlink()
                    purged_records += records
                (folder / HOLDING).unlink(missing_ok=True)
                remove_folder(folder)
    return purged_records


def locks_work(spool: Path) -> bool:
    """Return whether a lock keeps others out here; without, nobody can tell whose process lives."""
    try:
        held, draft = lock_new(spool / f".{token_hex(4)}")
    except OSError:
        return True
    try:
        return not can_lock(draft)
    finally:
        os.close(held)
        draft.unlink()


def shared_file_system(spool: Path) -> str:
    """Return the type of the spool's file system if its locks may not hold everywhere; else nothing."""
    try:
        path = os.path.realpath(spool)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    for mount in mounts:
        fields, _, rest = mount.partition(" - ")
        point = fields.split(" ")[4].replace("\\040", " ")
        if len(point) >= longest and (path + "/").startswith(point.rstrip("/") + "/"):
            found, longest = rest.split(" ")[0], len(point)
    return found if found in _SHARED or found.startswith("fuse") else ""


def _is_ours(folder: Path) -> bool:
    """Return whether this is a process's folder, or cannot be looked at."""
    try:
        return os.path.lexists(folder / LOCK) or bool(segments_in(folder))
    except OSError:
        return _NAME.fullmatch(folder.name) is not None


@contextmanager
def _lock_of_dead(folder: Path) -> Iterator[tuple[bool, int]]:
    with suppress(FileNotFoundError):
        check_own_folder(folder)
    descriptor = _open_lock(folder)
    if descriptor is None:
        yield False, -1
        return
    try:
        is_dead = is_taken(descriptor)
        try:
            yield is_dead, descriptor
        finally:
            # Unlock rather than only close: a child forked meanwhile holds a copy of the descriptor.
            if is_dead:
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _open_lock(folder: Path) -> int | None:
    with suppress(FileNotFoundError):
        return open_own(folder / LOCK, os.O_RDWR)
    if not _is_abandoned(folder):
        return None
    descriptor, _ = lock_new(folder / LOCK)
    os.close(descriptor)
    return open_own(folder / LOCK, os.O_RDWR)


def _is_abandoned(folder: Path) -> bool:
    """Return whether a folder has been without a lock for longer than a living owner would leave it so."""
    try:
        age_s = time.time() - folder.stat().st_mtime
        [host, pid, _] = folder.name.rsplit("-", 2)
    except (OSError, ValueError):
        return False
    return age_s > _LOCKLESS_S and host == socket.gethostname() and not Path(f"/proc/{pid}").exists()


def _records_seen(spool: Path) -> int:
    return sum(folder.may_wait for folder in statuses(spool))


def _status(folder: Path) -> FolderStatus:
    has_owner, trouble, done = True, "", 0
    found: list[Segment] = []
    try:
        check_own_folder(folder)
        trouble = _strangers_in(folder)
        for path in segments_in(folder):
            with suppress(FileNotFoundError):
                found.append(Segment.find(path))
        with _lock_of_dead(folder) as (is_dead, _):
            has_owner = not is_dead
        if (folder / LOCK).exists():
            done = _done_records(folder, found)
        else:
            has_owner, trouble = False, "its lock is gone"
    except OSError as error:
        has_owner = has_owner and not isinstance(error, PermissionError)
        trouble = f"it cannot be read ({error.strerror or error})"
    return FolderStatus(
        name=folder.name,
        has_owner=has_owner,
        records=sum(segment.records for segment in found) - done,
        bytes=sum(segment.size for segment in found),
        oldest_age_s=max((segment.age_s for segment in found if segment.size), default=0.0),
        broker=broker_of(folder),
        trouble=trouble,
    )


def _strangers_in(folder: Path) -> str:
    """Return what stands in a folder of ours like a segment and is none, or is another user's."""
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name for entry in entries if is_segment_name(entry.name) and not is_own_file(entry)
        )
    return f"{', '.join(names[:3])}: no plain file of this user alone, and left where it is" if names else ""


def _journal_of(folder: Path) -> Journal:
    descriptor = open_own(folder / LOCK)
    try:
        return Journal.read(descriptor)
    finally:
        os.close(descriptor)


def _done_records(folder: Path, found: list[Segment]) -> int:
    """Return how many of these records are confirmed already, as the folder's journal says."""
    journal = _journal_of(folder)
    names = {segment.path.name for segment in found}
    return sum(
        counts[account]
        for cut in journal.cuts
        for account, spans in accounts_of(cut).items()
        if batch_id_of(account, spans) in journal.done
        for name, *_, counts in spans
        if name in names
    )
