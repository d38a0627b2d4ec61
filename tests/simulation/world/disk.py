"""The calls of the operating system that the code of the world makes: where it may be cut, or be refused."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Protocol
from unittest.mock import patch

#: What a kill may come before, and what others may run between.
_CALLS = (
    "close", "dup2", "fdatasync", "fsync", "ftruncate", "link", "lstat", "mkdir", "open", "pread", "pwrite",
    "rename", "replace", "rmdir", "scandir", "stat", "truncate", "unlink", "write",
)  # fmt: skip
_NEED_ROOM = frozenset({"pwrite", "write", "mkdir", "link"})


class Caller(Protocol):
    """A process whose code calls the system."""

    descriptors: set[int]
    pid: int
    disk: "Disk"

    def before_call(self, name: str) -> bool:
        """Be cut here, or let others run; return whether it dies within this call."""

    def die(self) -> None:
        """End, here and now: raises ProcessKilled."""


class Disk:
    """The one disk of a computer, which fills up, fails, runs out of descriptors and loses its power."""

    def __init__(self, chance: Random, top: Path) -> None:
        self._chance = chance
        self._top = top
        self.is_full = False
        self.is_sick = False
        self.has_no_descriptors = False
        #: How much of each file a sync has followed, by the file's number.
        self._synced: dict[int, int] = {}

    def check(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Refuse a call as a real disk would."""
        if self.has_no_descriptors and name in {"open", "scandir"}:
            raise OSError(errno.EMFILE, "too many open files")
        if self.is_sick and name in {"pread", "pwrite", "fdatasync", "fsync"} and self._chance.random() < 0.5:
            raise OSError(errno.EIO, "the disk is sick")
        is_new_file = name == "open" and len(arguments) > 1 and arguments[1] & os.O_CREAT
        if self.is_full and (name in _NEED_ROOM or is_new_file):
            raise OSError(errno.ENOSPC, "the disk is full")

    def note_synced(self, descriptor: int) -> None:
        """Note that what a file holds now outlives a power cut."""
        found = os.fstat(descriptor)
        self._synced[found.st_ino] = found.st_size

    def lose_what_is_not_synced(self) -> None:
        """Leave of each file what was synced, and of the rest as much as chance will have.

        Names stay: tests/unit/tracker/outbox/test_power_cuts.py tries those that do not.
        """
        for path in sorted(self._top.rglob("*")):
            if not path.is_file():
                continue
            found = path.stat()
            synced = min(self._synced.get(found.st_ino, 0), found.st_size)
            left = self._chance.randint(synced, found.st_size)
            if left < found.st_size:
                os.truncate(path, left)
                if self._chance.random() < 0.3:
                    # The size had reached the disk, and the bytes had not.
                    os.truncate(path, found.st_size)
                self._synced[found.st_ino] = path.stat().st_size


@contextmanager
def watched_calls(chance: Random, running: Callable[[], Caller | None]) -> Iterator[None]:
    """Let each call of a process that runs pass the world first; what the world calls passes by itself."""
    own_pid = os.getpid

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def of_the_world(*arguments: Any, **options: Any) -> Any:
            caller = running()
            if caller is None:
                return call(*arguments, **options)
            if caller.before_call(name):
                if name in {"pwrite", "write"}:
                    descriptor, data, *place = arguments
                    call(descriptor, data[: chance.randrange(len(data) + 1)], *place)
                caller.die()
            caller.disk.check(name, arguments)
            found = call(*arguments, **options)
            _note(caller, name, arguments, found)
            return found

        return of_the_world

    def getpid() -> int:
        caller = running()
        return caller.pid if caller else own_pid()

    stand_ins: dict[str, Any] = {name: watched(name, getattr(os, name)) for name in _CALLS}
    with patch.multiple(os, **stand_ins, getpid=getpid):
        yield


def _note(caller: Caller, name: str, arguments: tuple[Any, ...], found: Any) -> None:
    if name == "open":
        caller.descriptors.add(found)
    elif name == "close":
        caller.descriptors.discard(arguments[0])
    elif name in {"fsync", "fdatasync"}:
        caller.disk.note_synced(arguments[0])
