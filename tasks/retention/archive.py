"""Archives: files of JSON lines, one for each row, in which a row is before it is deleted.

What is new is written beside them, reaches the disk, and takes its place by a rename: whatever ends the
process, each file is whole, with the new rows or without.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Self
from uuid import UUID

from masterflow.domain.errors import InputInvalid
from masterflow.repository.retention.ended import EndedFlow
from masterflow.repository.retention.restored import ArchivedFlow

_ENDING: Final = ".jsonl"
_PART: Final = ".part"
_VERSION: Final = 1

#: Nobody but the owner reads them: rows hold what users wrote.
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Archive:
    """A file, or a folder with one file for each tenant and day of the flows' last change."""

    path: Path
    is_folder: bool

    @classmethod
    def at(cls, text: str) -> Self:
        """Return the one that a path means: a folder if it is one or ends in a slash."""
        path = Path(text).expanduser()
        return cls(path, is_folder=path.is_dir() or text.endswith("/"))

    def file_of(self, flow: EndedFlow) -> Path:
        """Return where a row belongs."""
        if not self.is_folder:
            return self.path
        tenant = self.path / str(flow.client_account_id) / str(flow.engagement_id)
        return tenant / f"{flow.day}{_ENDING}"

    def files(self, client_account_id: UUID | None = None, engagement_id: UUID | None = None) -> list[Path]:
        """Return the files that may hold rows of a tenant, the latest day first.

        Raises:
            InputInvalid: there is no such archive.
        """
        if not self.path.exists():
            raise InputInvalid(f"There is no archive {self.path}.")
        if not self.is_folder:
            return [self.path]
        account, engagement = str(client_account_id or "*"), str(engagement_id or "*")
        found = self.path.glob(f"{account}/{engagement}/*{_ENDING}")
        return sorted(found, key=lambda path: path.name, reverse=True)

    @contextmanager
    def written(self) -> Iterator["Written"]:
        """Yield what adds to it, and to which nobody else adds meanwhile.

        Raises:
            InputInvalid: it cannot be written to, or another process does.
        """
        folder = self.path if self.is_folder else self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise InputInvalid(f"{folder} is no folder to write to ({error.strerror}).") from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Written(self)
        except BlockingIOError as error:
            raise InputInvalid(
                f"Another process writes an archive in {folder}; try again when it is done."
            ) from error
        finally:
            os.close(held)


class Written:
    """Rows on their way into an archive; they are in it after `settle`."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._rows: dict[Path, set[tuple[str, str]]] = {}

    def add(self, flows: list[EndedFlow]) -> None:
        """Write rows beside the files that they belong to; an OSError passes."""
        lines: dict[Path, list[EndedFlow]] = {}
        for flow in flows:
            lines.setdefault(self._archive.file_of(flow), []).append(flow)
        for path, some in lines.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with _open(_part(path), "ab" if path in self._rows else "wb") as part:
                part.writelines(map(_line, some))
            self._rows.setdefault(path, set()).update((str(flow.flow_id), flow.digest) for flow in some)

    def settle(self) -> None:
        """Put the rows in their places, on the disk; an OSError passes, and may be met again."""
        for path, rows in self._rows.items():
            _join(path, rows)
        for folder in {parent for path in self._rows for parent in self._folders(path)}:
            _sync_folder(folder)
        self._rows.clear()

    def _folders(self, path: Path) -> list[Path]:
        if not self._archive.is_folder:
            return [path.parent]
        return [path.parent, path.parent.parent, self._archive.path, self._archive.path.parent]


def read_archive(
    path: Path, *, client_account_id: UUID | None = None, engagement_id: UUID | None = None
) -> Iterator[ArchivedFlow]:
    """Yield the rows of a file, of each flow the newest that is whole rather than thinned.

    Raises:
        InputInvalid: it cannot be read, or a line of it is no row of an archive.
    """
    newest: dict[str, tuple[tuple[int, bool], int]] = {}
    try:
        with path.open("rb") as file:
            place = 0
            for number, line in enumerate(file, 1):
                head = _head(path, number, line)
                rank = (head["updated_us"] or 0, not head["is_thinned"])
                # Of two of the same time the later one: not every writer tells when it wrote.
                if head["flow_id"] not in newest or rank >= newest[head["flow_id"]][0]:
                    newest[head["flow_id"]] = (rank, place)
                place += len(line)
            for _, at in newest.values():
                file.seek(at)
                line = file.readline()
                head = json.loads(line)
                if client_account_id not in (None, UUID(head["client_account_id"])):
                    continue
                if engagement_id not in (None, UUID(head["engagement_id"])):
                    continue
                yield _archived(line, head)
    except OSError as error:
        raise InputInvalid(
            f"{path} cannot be read ({error.strerror}); check its path and its rights."
        ) from error


def _line(flow: EndedFlow) -> bytes:
    head = {
        "v": _VERSION,
        "flow_id": str(flow.flow_id),
        "digest": flow.digest,
        "client_account_id": str(flow.client_account_id),
        "engagement_id": str(flow.engagement_id),
        "updated_us": flow.updated_us,
        "is_thinned": flow.is_thinned,
        "archived_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    # The row as Postgres wrote it: Python would change numbers that are long.
    return f'{json.dumps(head)[:-1]}, "row": {flow.row}}}\n'.encode()


def _head(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        head: dict[str, Any] = json.loads(line)
        row = head["row"]
        same = ("flow_id", "client_account_id", "engagement_id")
        is_ours = head["v"] == _VERSION and all(UUID(row[name]) == UUID(head[name]) for name in same)
        is_ours = is_ours and isinstance(head["digest"], str) and isinstance(head["is_thinned"], bool)
        is_ours = is_ours and isinstance(head["updated_us"], int | None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputInvalid(
            f"Line {number} of {path} is no row of an archive; take it out to read the others."
        ) from error
    if not is_ours:
        raise InputInvalid(
            f"Line {number} of {path} is no row of an archive; take it out to read the others."
        )
    return head


def _archived(line: bytes, head: dict[str, Any]) -> ArchivedFlow:
    row = head["row"]
    parent = row.get("parent_flow_id")
    return ArchivedFlow(
        flow_id=UUID(row["flow_id"]),
        parent_flow_id=UUID(parent) if parent else None,
        columns=frozenset(row),
        line=line.decode(),
    )


def _join(path: Path, rows: set[tuple[str, str]]) -> None:
    """Let a file hold what was written beside it as well; a row that a run before wrote is not doubled."""
    part = _part(path)
    if path.exists():
        whole = path.with_name(f"{path.name}.whole{_PART}")
        with _open(whole, "wb") as target, path.open("rb") as former, part.open("rb") as fresh:
            target.writelines(line for line in former if _name(line) not in rows)
            target.writelines(fresh)
            _sync(target)
        _replace(whole, path)
        part.unlink()
        return
    with part.open("rb") as fresh:
        _sync(fresh)
    _replace(part, path)


def _name(line: bytes) -> tuple[str, str] | None:
    try:
        head = json.loads(line)
        return (head["flow_id"], head["digest"])
    except (ValueError, KeyError, TypeError):
        # Not ours to judge; whoever reads it is told.
        return None


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}{_PART}")


def _open(path: Path, mode: str) -> IO[bytes]:
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, _MODE))


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _replace(source: Path, target: Path) -> None:
    source.replace(target)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
