import errno
import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from masterflow.tracker.outbox.adoption import adopt_orphans
from masterflow.tracker.outbox.segments import segments_in
from tests.support.events.outboxes import Process

DISK_BYTES = 20_000


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path / "spool")


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch, process: Process) -> None:
    """A disk that takes so many bytes of events; the last write that fits is cut short."""
    write = os.pwrite

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        used = sum(path.stat().st_size for path in segments_in(process.outbox.folder))
        grown = at + len(data) - os.fstat(descriptor).st_size
        if used >= DISK_BYTES and grown > 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) - max(0, used + grown - DISK_BYTES)], at)

    monkeypatch.setattr("os.pwrite", pwrite)


def refuse_descriptors(monkeypatch: pytest.MonkeyPatch, process: Process) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("os.open", refuse)


def refuse_reading(monkeypatch: pytest.MonkeyPatch, process: Process) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.pread", refuse)


def remove_folder(monkeypatch: pytest.MonkeyPatch, process: Process) -> None:
    shutil.rmtree(process.outbox.folder.parent)


def replace_folder_by_a_file(monkeypatch: pytest.MonkeyPatch, process: Process) -> None:
    shutil.rmtree(process.outbox.folder.parent)
    process.outbox.folder.parent.touch()


def go_elsewhere(monkeypatch: pytest.MonkeyPatch, process: Process) -> None:
    monkeypatch.chdir("/")


def damage_files(monkeypatch: pytest.MonkeyPatch, process: Process) -> None:
    for path in segments_in(process.outbox.folder):
        path.write_bytes(path.read_bytes().replace(b'"n":', b'"m":'))


@pytest.mark.parametrize(
    "fault",
    [refuse_descriptors, refuse_reading, remove_folder, replace_folder_by_a_file, go_elsewhere, damage_files],
)
def test_the_numbers_add_up_before_during_and_after_a_fault(
    process: Process, fault: Callable[[pytest.MonkeyPatch, Process], None]
):
    process.say(*range(30))
    batches = process.send()
    process.confirm(*batches[:1])
    process.say(*range(30), lane="vital")
    process.check_numbers(60)
    with pytest.MonkeyPatch.context() as patch:
        fault(patch, process)
        for number in range(60):
            process.say(number, lane="vital" if number % 2 else "detail")
            process.send(now=100.0 * number)
            process.outbox.tidy()
            process.check_numbers(61 + number)
    process.say(*range(10))
    for now in range(10_000, 20_000, 1_000):
        process.outbox.tidy()
        process.confirm(*process.send(now), now=now)
        process.check_numbers(130)
    numbers = process.check_numbers(130)
    assert (numbers["pending"], numbers["under_way"]) == (0, 0) or fault is replace_folder_by_a_file


def test_no_event_is_in_limbo_when_a_process_has_no_descriptor_left_for_a_while(process, monkeypatch):
    process.say(*range(200))
    with pytest.MonkeyPatch.context() as patch:
        refuse_descriptors(patch, process)
        process.say(*range(200))
        assert process.send() == []
        process.check_numbers(400)
    process.confirm(*process.send())
    assert process.check_numbers(400) == {
        "reported": 400,
        "pending": 0,
        "under_way": 0,
        "confirmed": 400,
        "lost": 0,
    }


def test_a_file_that_cannot_be_read_costs_no_other_event(process, monkeypatch):
    process.say(*range(10))
    process.say(*range(100, 110), lane="vital")
    read = os.open

    def refuse(path: Path, *rest: int) -> int:
        if "detail-" in str(path) and rest[0] & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EIO, "Input/output error")
        return read(path, *rest)

    monkeypatch.setattr("os.open", refuse)
    process.confirm(*process.send())
    numbers = process.check_numbers(20)
    assert (numbers["confirmed"], numbers["pending"]) == (10, 10)


@pytest.mark.usefixtures("small_disk")
def test_on_a_full_disk_details_go_first_and_the_oldest_of_them(process):
    process.say(*range(1_000))
    for number in range(50):
        process.say(f"vital {number}", lane="vital")
        process.check_numbers(1_001 + number)
    assert process.losses.counts().keys() == {"overflow_detail"}
    published = process.send()
    text = "".join(batch.events for batch in published)
    assert all(f'"vital {number}"' in text for number in range(50))
    assert '"n":999}' in text


@pytest.mark.usefixtures("small_disk")
def test_on_a_disk_full_of_what_goes_last_the_loss_is_counted(process):
    process.say(*range(500), lane="vital")
    counts = process.losses.counts()
    assert counts["disk"] > 0
    assert process.check_numbers(500)["pending"] == 500 - counts["disk"]


def test_what_an_interrupted_append_has_left_is_written_over(process):
    process.say(1)
    [path] = [path for path in segments_in(process.outbox.folder) if path.stat().st_size]
    with path.open("ab") as file:
        file.write(b"the beginning of a record that was cut off")
    process.say(2, 3)
    [batch] = process.send()
    assert batch.event_count == 3
    process.check_numbers(3)


def test_a_spool_that_cannot_be_opened_keeps_no_descriptor(tmp_path, monkeypatch):
    create = os.open

    def refuse_segments(path: Path, *rest: int) -> int:
        if "vital-" in str(path) or "detail-" in str(path):
            raise OSError(errno.EMFILE, "Too many open files")
        return create(path, *rest)

    monkeypatch.setattr("os.open", refuse_segments)
    gc.collect()  # What other tests left open must not be closed in between.
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(OSError, match="Too many"):
            Process(tmp_path / "spool")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_folder_that_cannot_be_made_again_closes_no_descriptor_twice(process, monkeypatch):
    closed: list[int] = []
    close = os.close
    process.say(1)
    shutil.rmtree(process.outbox.folder.parent)
    process.outbox.folder.parent.touch()

    def note(descriptor: int) -> None:
        closed.append(descriptor)
        close(descriptor)

    monkeypatch.setattr("os.close", note)
    lock = process.outbox.own._descriptor
    for _ in range(5):
        process.outbox.close_segments()
        process.outbox.tidy()
    assert lock not in closed


def test_what_could_not_be_read_when_it_was_taken_over_is_counted_as_it_is_read(
    process, tmp_path, monkeypatch
):
    dead = Process(tmp_path / "spool", segment_bytes=1_000_000)
    dead.say(*range(600))
    dead.die()
    with monkeypatch.context() as sick:
        sick.setattr("masterflow.tracker.outbox.segments.Segment.unread_lines", lambda _: 0)
        adopt_orphans(process.outbox)

    # A message has room for 500 of them.
    assert process.window.take(process.outbox.unread())

    process.check_numbers(500)
    process.send()
    process.check_numbers(600)
