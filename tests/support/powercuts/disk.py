"""What a disk may hold after a power cut, as POSIX and fsync leave it open."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Final

#: Up to so many changes of names that were not synced, every subset of them is tried; of more, those below.
MOST_IN_EVERY_SUBSET: Final = 6
_SAMPLED: Final = 24


@dataclass(eq=False, slots=True)
class Node:
    """A file or a folder, whatever its name is."""

    is_folder: bool


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes came into a file, at a place."""

    node: Node
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """A file got another size."""

    node: Node
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file's bytes, or a folder's names, were brought to the disk."""

    node: Node


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a folder."""

    folder: Node
    name: str


@dataclass(frozen=True, slots=True)
class Named:
    """A name came, went, or both at once: a rename is one step on every file system with a journal."""

    node: Node
    gone: Name | None = None
    come: Name | None = None

    @property
    def folders(self) -> set[Node]:
        """Return the folders that it changes; to sync one of them is enough."""
        return {name.folder for name in (self.gone, self.come) if name}


Step = Written | Cut | Synced | Named

#: The names in each folder, and the bytes of each file.
Names = dict[Node, dict[str, Node]]
Contents = dict[Node, bytes]


@dataclass(slots=True)
class Disk:
    """What one power cut left."""

    names: Names = field(default_factory=dict)
    contents: Contents = field(default_factory=dict)

    def tree(self, folder: Node) -> tuple[object, ...]:
        """Return all that can be reached from a folder, to be compared."""
        return tuple(
            (name, self.tree(node) if node.is_folder else self.contents[node])
            for name, node in sorted(self.names.get(folder, {}).items())
        )

    def lay_out(self, folder: Node, place: Path, known: dict[Node, Path] | None = None) -> None:
        """Write it under a folder of ours."""
        known = {} if known is None else known
        for name, node in self.names.get(folder, {}).items():
            path = place / name
            if node.is_folder:
                path.mkdir(mode=0o700)
                self.lay_out(node, path, known)
                # Long ago, since the machine had to start again.
                os.utime(path, (0, 0))
            elif node in known:
                os.link(known[node], path)
            else:
                path.write_bytes(self.contents[node])
                path.chmod(0o600)
                known[node] = path


def disks(steps: Sequence[Step], root: Node) -> Iterator[Disk]:
    """Yield what may stand on the disk if the power fails behind these steps; some of it more than once.

    Names: each subset of what was not synced that can have happened alone. Bytes: of each file, each
    prefix of what was not synced, the last write torn; or its size without its bytes, or the last change
    without those before. Files differ one at a time, beside others of which all or nothing is left, and
    only where at most one change of names is lost; else all of every file is left, or nothing.
    """
    changes = {node: _Changes.of(steps, node) for node in {step.node for step in steps if _has_bytes(step)}}
    for names, is_told_apart in _names(steps, root):
        least = Disk(names, {node: found.least for node, found in changes.items()})
        most = Disk(names, {node: found.most for node, found in changes.items()})
        yield least
        yield most
        reached = _reached(names, root) if is_told_apart else set()
        for node, found in changes.items():
            if node in reached:
                for content in found.variants():
                    yield Disk(names, least.contents | {node: content})
                    yield Disk(names, most.contents | {node: content})


def _has_bytes(step: Step) -> bool:
    return not step.node.is_folder


@dataclass(slots=True)
class _Changes:
    """What happened to a file's bytes: what the disk has for sure, and what came later."""

    least: bytes
    late: list[Written | Cut]

    @classmethod
    def of(cls, steps: Sequence[Step], node: Node) -> "_Changes":
        synced, late = b"", []
        for step in steps:
            if step.node is not node:
                continue
            if isinstance(step, Written | Cut):
                late.append(step)
            elif isinstance(step, Synced):
                synced, late = _after(synced, late), []
        return cls(synced, late)

    @property
    def most(self) -> bytes:
        return _after(self.least, self.late)

    def variants(self) -> Iterator[bytes]:
        for count, step in enumerate(self.late):
            before = _after(self.least, self.late[:count])
            yield before
            if isinstance(step, Written):
                for part in {1, len(step.data) // 2, len(step.data) - 1}:
                    yield _after(before, [Written(step.node, step.at, step.data[:part])])
        if self.late:
            # The last change alone, and the size that all of them made, without their bytes.
            yield _after(self.least, self.late[-1:])
            yield self.least[: len(self.most)].ljust(len(self.most), b"\0")


def _after(content: bytes, changes: Sequence[Written | Cut]) -> bytes:
    for change in changes:
        if isinstance(change, Cut):
            content = content[: change.size].ljust(change.size, b"\0")
        else:
            content = content.ljust(change.at, b"\0")
            content = content[: change.at] + change.data + content[change.at + len(change.data) :]
    return content


def _names(steps: Sequence[Step], root: Node) -> Iterator[tuple[Names, bool]]:
    changes = [
        (step, any(isinstance(later, Synced) and later.node in step.folders for later in steps[place:]))
        for place, step in enumerate(steps)
        if isinstance(step, Named)
    ]
    late = [place for place, (_, is_synced) in enumerate(changes) if not is_synced]
    for lost in _subsets(late):
        names = _named([step for place, (step, _) in enumerate(changes) if place not in lost], root)
        if names is not None:
            yield names, len(lost) <= 1


def _subsets(late: Sequence[int]) -> Iterator[set[int]]:
    """Yield which of the late changes are lost."""
    if len(late) <= MOST_IN_EVERY_SUBSET:
        for count in range(len(late) + 1):
            yield from map(set, combinations(late, count))
        return
    for count in (0, 1, 2):
        yield from map(set, combinations(late, count))
        yield from (set(late) - set(kept) for kept in combinations(late, count))
    for begin in range(len(late)):
        yield set(late[begin:])
    random = Random(len(late))
    for _ in range(_SAMPLED):
        yield set(random.sample(late, random.randrange(len(late))))


def _named(changes: Sequence[Named], root: Node) -> Names | None:
    """Return the names after these changes, or None if not all of them can have happened."""
    names: Names = {root: {}}
    for change in changes:
        if change.gone:
            former = names.get(change.gone.folder, {})
            if former.get(change.gone.name) is not change.node or (
                not change.come and names.get(change.node)
            ):
                return None
            del former[change.gone.name]
        if change.come:
            fresh = names.setdefault(change.come.folder, {})
            # Only a rename puts a file in another's place.
            if not change.gone and change.come.name in fresh:
                return None
            fresh[change.come.name] = change.node
    return names


def _reached(names: Names, folder: Node) -> set[Node]:
    found = set(names.get(folder, {}).values())
    return found.union(*(_reached(names, node) for node in found if node.is_folder))
