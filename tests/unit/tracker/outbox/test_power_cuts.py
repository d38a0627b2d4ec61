"""Every state of the disk that a power cut may leave, at each point of a workload, and what is found then."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from masterflow.domain.events import Lane
from masterflow.tracker.outbox.adoption import adopt_orphans
from masterflow.tracker.outbox.folder import LOCK
from masterflow.tracker.outbox.segments import segments_in
from tests.support.events.lines import ACCOUNT
from tests.support.events.outboxes import BROKER, Process, contents
from tests.support.powercuts.disk import disks
from tests.support.powercuts.recorder import Recorder

#: Of no process that lives, or the system would not start so many.
_PID = 2**22 + 1


class Workload:
    """Processes on one spool, and what they may rely on: what was synced, confirmed, or counted as lost."""

    def __init__(self, top: Path) -> None:
        self.spool = top / "state" / "spool"
        self._recorder = Recorder(top)
        self._numbers = count(1)
        self._events: dict[int, bytes] = {}
        self._confirmed: set[int] = set()
        self._processes: list[Process] = []
        #: Behind how many steps which events had to be on the disk, and which were taken by nobody yet.
        self._marks: list[tuple[int, frozenset[int], frozenset[int]]] = [(0, frozenset(), frozenset())]

    def process(self, **settings: Any) -> Process:
        process = Process(self.spool, **{"segment_bytes": 400, **settings})
        self._processes.append(process)
        return process

    def say(self, process: Process, times: int = 1, *, lane: Lane = "vital") -> None:
        for number in (next(self._numbers) for _ in range(times)):
            # Every second one is of those that go last where the outbox is full.
            event = {"client_account_id": ACCOUNT, "kind": ("error_occurred", "")[number % 2], "n": number}
            self._events[number] = json.dumps(event, separators=(",", ":")).encode()
            process.outbox.append(lane, self._events[number])

    def sync(self, process: Process) -> None:
        """Sync one process's files: what it held before is promised from now on."""
        before = self._held(process)
        process.outbox.sync()
        self._promise(self._promised | before)

    def confirm(self, process: Process, *batches: Any) -> None:
        """Let workers confirm batches; they need not be found any more, even before this is noted."""
        self._confirmed |= set(contents(*batches))
        self._promise(self._promised - self._confirmed)
        process.confirm(*batches)

    def lose(self, process: Process, act: Callable[[], object]) -> None:
        """Let something happen that may drop events of a process, which are promised no more."""
        promised = self._promised
        self._promise(promised - self._held(process))
        act()
        self._promise(promised & self._held(process))

    def _held(self, process: Process) -> frozenset[int]:
        texts = b"".join(path.read_bytes() for path in segments_in(process.outbox.folder))
        return frozenset(n for n, event in self._events.items() if event in texts) - self._confirmed

    @property
    def _promised(self) -> frozenset[int]:
        return self._marks[-1][1]

    def _promise(self, numbers: frozenset[int]) -> None:
        self._marks.append((len(self._recorder.steps), numbers, frozenset(self._confirmed)))

    @contextmanager
    def recorded(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch, self._recorder.listening():
            patch.setattr(os, "getpid", lambda: _PID)
            yield
        for process in self._processes:
            process.die()

    def check(self, place: Path) -> int:
        """Recover from every disk that any power cut may leave; return how many different ones that were."""
        steps = self._recorder.steps
        seen: set[tuple[object, frozenset[int]]] = set()
        for at in range(len(steps) + 1):
            # A promise holds from the end of the call that made it, and so not within it.
            promised = next(numbers for length, numbers, _ in reversed(self._marks) if length <= at)
            for disk in disks(steps[:at], self._recorder.root):
                state = disk.tree(self._recorder.root), promised
                if state not in seen:
                    seen.add(state)
                    top = place / str(len(seen))
                    top.mkdir()
                    disk.lay_out(self._recorder.root, top)
                    try:
                        self._check_recovery(top / "state" / "spool", promised)
                    except BaseException as error:
                        error.add_note(f"behind step {at} of {len(steps)}: {steps[max(0, at - 6) : at]}")
                        error.add_note("\n".join(map(str, sorted(top.rglob("*")))))
                        raise
                    shutil.rmtree(top)
        return len(seen)

    def _check_recovery(self, spool: Path, promised: frozenset[int]) -> None:
        process = Process(spool)
        adopted = adopt_orphans(process.outbox)
        process.say(0)
        process.check_numbers(adopted + 1)
        process.send()
        window = process.window
        for parcel in list(window.due(float("inf"))) + list(window._parcels.values()):
            if parcel.batch_id in window._parcels and (batch := window.batch(parcel, "again")):
                process.published.append(batch)
        process.check_numbers(process.outbox.numbers()["reported"])
        found = contents(*process.published)
        process.die()
        assert 0 in found
        # Nothing was invented, and nothing that was synced is lost.
        assert {event for event in found if event != 0} <= self._events.keys()
        assert promised <= set(found)


def _plain(load: Workload) -> None:
    process = load.process()
    load.say(process, 3)
    load.sync(process)
    load.say(process, 5)
    [batch, *_] = process.send()
    load.sync(process)
    load.confirm(process, batch)
    load.say(process)
    process.outbox.tidy()
    load.sync(process)


def _adopted(load: Workload) -> None:
    first = load.process()
    load.say(first, 4)
    [batch] = first.send()
    load.say(first, 2, lane="detail")
    load.sync(first)
    load.say(first)
    first.die()
    second = load.process()
    adopt_orphans(second.outbox)
    second.send()
    load.confirm(second, batch)
    load.say(second)
    load.sync(second)


def _rotated_and_closed(load: Workload) -> None:
    process = load.process()
    for _ in range(2):
        load.say(process, 5)
        load.sync(process)
    batches = process.send()
    load.confirm(process, *batches[:1])
    load.say(process)
    process.outbox.close()
    load.sync(process)


def _full(load: Workload) -> None:
    """The outbox drops details, then the oldest errors, which it rewrites where they are."""
    process = load.process(max_bytes=900)
    load.say(process, 2, lane="detail")
    load.say(process, 6)
    load.sync(process)
    for _ in range(6):
        load.lose(process, lambda: load.say(process))
    load.sync(process)
    assert process.losses.counts()["overflow_vital"]


def _shorter(load: Workload) -> None:
    """A file that is still open is made shorter, and grows again to less than it was."""
    process = load.process(max_bytes=900, segment_bytes=2_000)
    load.say(process, 8)
    load.sync(process)
    load.lose(process, lambda: load.say(process, 2))
    load.sync(process)
    assert process.losses.counts()["overflow_vital"]


def _removed(load: Workload) -> None:
    """Somebody removes the lock and an open file, and later the whole folder."""
    process = load.process()
    load.say(process, 2)
    load.sync(process)
    folder = process.outbox.folder

    def remove() -> None:
        for path in (folder / LOCK, *segments_in(folder)):
            path.unlink()

    load.lose(process, remove)
    process.outbox.tidy()
    load.sync(process)
    load.say(process)
    load.sync(process)


def _named_later(load: Workload) -> None:
    """The settings say only later whom the events are for."""
    process = load.process(broker="")
    load.say(process, 2)
    process.outbox.sync()
    assert process.outbox.own.belong_to(BROKER)
    load.sync(process)
    load.say(process)
    load.sync(process)


WORKLOADS = {
    "plain": _plain,
    "adopted": _adopted,
    "rotated and closed": _rotated_and_closed,
    "full": _full,
    "shorter": _shorter,
    "removed": _removed,
    "named later": _named_later,
}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, since disks take long to remove thousands of folders."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_power_cut_costs_what_was_synced(
    name: str, tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Workload(tmp_path)
    with load.recorded():
        WORKLOADS[name](load)
    for call in ("fsync", "fdatasync"):  # The power does not fail again.
        monkeypatch.setattr(os, call, lambda descriptor: None)
    assert load.check(memory) > 50
