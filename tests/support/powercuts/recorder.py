"""What a workload does to files, as it asks the operating system for it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.powercuts.disk import Cut, Name, Named, Names, Node, Step, Synced, Written

_CALLS = (
    "open", "close", "dup2", "write", "pwrite", "truncate", "ftruncate", "fsync", "fdatasync",
    "mkdir", "rmdir", "rename", "replace", "link", "unlink",
)  # fmt: skip


class Recorder:
    """Notes each change of the files below a folder, which is empty at first."""

    def __init__(self, top: Path) -> None:
        self.root = Node(is_folder=True)
        self.steps: list[Step] = []
        self._top = top
        self._names: Names = {self.root: {}}
        self._open: dict[int, Node] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for call in _CALLS:
                patch.setattr(os, call, self._noting(call, getattr(os, call)))
            yield

    def _noting(self, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
        note = getattr(self, f"_note_{call}")

        def call_and_note(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            note(result, *args)
            return result

        return call_and_note

    def _find(self, path: Any) -> tuple[Name, Node | None] | None:
        """Return a path's name and what it stands for, or None if it is elsewhere."""
        path = Path(path)
        if not path.is_relative_to(self._top) or path == self._top:
            return None
        folder = self.root
        for part in path.relative_to(self._top).parts[:-1]:
            folder = self._names[folder][part]
        return Name(folder, path.name), self._names[folder].get(path.name)

    def _take(self, step: Named) -> None:
        if step.gone:
            del self._names[step.gone.folder][step.gone.name]
        if step.come:
            self._names[step.come.folder][step.come.name] = step.node
        self.steps.append(step)

    def _note_open(self, descriptor: int, path: Any, flags: int = 0, *_: Any) -> None:
        self._open.pop(descriptor, None)
        if Path(path) == self._top:
            self._open[descriptor] = self.root
        elif found := self._find(path):
            name, node = found
            if node is None:
                assert flags & os.O_CREAT, path
                node = Node(is_folder=False)
                self._take(Named(node, come=name))
            assert not flags & os.O_TRUNC
            self._open[descriptor] = node

    def _note_close(self, _: None, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def _note_dup2(self, _: int, descriptor: int, other: int, *__: Any) -> None:
        self._open[other] = self._open[descriptor]

    def _note_write(self, written: int, descriptor: int, data: bytes) -> None:
        assert descriptor not in self._open, "the outbox says where it writes"

    def _note_pwrite(self, written: int, descriptor: int, data: bytes, at: int) -> None:
        if node := self._open.get(descriptor):
            self.steps.append(Written(node, at, bytes(data[:written])))

    def _note_ftruncate(self, _: None, descriptor: int, size: int) -> None:
        if node := self._open.get(descriptor):
            self.steps.append(Cut(node, size))

    def _note_truncate(self, _: None, path: Any, size: int) -> None:
        if (found := self._find(path)) and found[1]:
            self.steps.append(Cut(found[1], size))

    def _note_fsync(self, _: None, descriptor: int) -> None:
        if node := self._open.get(descriptor):
            self.steps.append(Synced(node))

    _note_fdatasync = _note_fsync

    def _note_mkdir(self, _: None, path: Any, *__: Any) -> None:
        if found := self._find(path):
            node = Node(is_folder=True)
            self._names[node] = {}
            self._take(Named(node, come=found[0]))

    def _note_unlink(self, _: None, path: Any) -> None:
        if (found := self._find(path)) and found[1]:
            self._take(Named(found[1], gone=found[0]))

    _note_rmdir = _note_unlink

    def _note_rename(self, _: None, path: Any, other: Any) -> None:
        found, place = self._find(path), self._find(other)
        assert found
        assert found[1]
        assert place
        self._take(Named(found[1], gone=found[0], come=place[0]))

    _note_replace = _note_rename

    def _note_link(self, _: None, path: Any, other: Any) -> None:
        found, place = self._find(path), self._find(other)
        assert found
        assert found[1]
        assert place
        self._take(Named(found[1], come=place[0]))
