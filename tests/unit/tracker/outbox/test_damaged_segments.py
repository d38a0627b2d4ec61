import os
import time
from pathlib import Path

import pytest

from masterflow.tracker.outbox.adoption import adopt_orphans
from masterflow.tracker.outbox.segments import segments_in
from tests.support.events.outboxes import Process, contents


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path / "spool", segment_bytes=10_000)


def file_of(process: Process) -> Path:
    """Return the file that the newest details are in."""
    return [path for path in segments_in(process.outbox.folder) if path.name.startswith("detail-")][-1]


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut_in_a_record(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 7)


def overwrite_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(b"\0" * 150)


def fill_with_lines(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\n" * 300)


def lengthen_by_its_own_records(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 3)


def join_all_lines(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b" "))


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"not a record\n" * 3)
    other.replace(path)


DAMAGES = [
    empty,
    cut_in_a_record,
    overwrite_the_middle,
    fill_with_lines,
    lengthen_by_its_own_records,
    join_all_lines,
    remove,
    replace,
]


def work_off(process: Process) -> set[object]:
    """Let all that can still be sent be confirmed; return what that is."""
    sent: set[object] = set()
    # What is adopted waits by the clock of the machine, which may have run for years.
    began = int(time.monotonic())
    for now in range(began + 1_000, began + 20_000, 1_000):
        process.outbox.tidy()
        batches = process.send(now)
        sent |= set(contents(*batches))
        process.confirm(*batches, now=now)
    return sent


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("is_full", [False, True], ids=["open", "closed"])
def test_what_was_damaged_before_it_was_sent_is_lost_once_and_nothing_else_is(process, damage, is_full):
    process.say(*range(30))
    path = file_of(process)
    if is_full:
        process.outbox.close_segments()
    damage(path)
    process.check_numbers(30)
    process.say(*range(100, 140))
    sent = work_off(process)
    assert sent >= set(range(100, 140))
    numbers = process.check_numbers(70)
    assert (numbers["pending"], numbers["under_way"]) == (0, 0)
    assert numbers["lost"] >= 70 - len(sent)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("is_confirmed", [True, False])
def test_what_was_damaged_once_it_was_sent_is_confirmed_or_lost(process, damage, is_confirmed):
    process.say(*range(30))
    batches = process.send()
    process.say(*range(30, 40))
    damage(file_of(process))
    process.check_numbers(40)
    if is_confirmed:
        process.confirm(*batches)
        assert process.check_numbers(40)["confirmed"] == 30
        assert dict(process.losses.counts()) == {}
    work_off(process)
    numbers = process.check_numbers(40)
    assert (numbers["pending"], numbers["under_way"]) == (0, 0)


def test_what_a_repetition_lacks_is_lost_and_what_it_has_is_confirmed(process):
    process.say(*range(10))
    process.send()
    path = file_of(process)
    os.truncate(path, path.stat().st_size // 2)
    assert process.losses.counts() == {}
    [again] = process.send(now=40)
    process.window.confirm([again.batch_id], 41, is_repetition=True)
    numbers = process.check_numbers(10)
    assert (numbers["confirmed"], numbers["lost"]) == (again.event_count, 10 - again.event_count)
    assert process.losses.counts() == {"corrupt": 10 - again.event_count}


@pytest.mark.parametrize("harm", [remove, replace])
def test_an_open_file_that_is_removed_or_replaced_costs_nothing(process, harm):
    process.say(*range(10))
    harm(file_of(process))
    process.say(*range(10, 20))
    assert sorted(contents(*process.send())) == [*range(20)]
    harm(file_of(process))
    process.outbox.tidy()
    process.die()
    heir = Process(process.outbox.folder.parent)
    assert adopt_orphans(heir.outbox) == 20


def test_a_damaged_record_costs_none_of_those_around_it(process):
    process.say(*range(10))
    path = file_of(process)
    data = path.read_bytes()
    line = data.index(b"\n") + 1
    # The end of the second record is gone, and with it the line's.
    end = data.index(b"\n", line)
    path.write_bytes(data[: end - 5] + b"\0" * 6 + data[end + 1 :])
    assert contents(*process.send()) == [0, *range(2, 10)]
    assert process.check_numbers(10)["lost"] == 1


@pytest.mark.parametrize("damage", [empty, cut_in_a_record, overwrite_the_middle, fill_with_lines])
@pytest.mark.parametrize("was_sent", [True, False])
def test_the_numbers_of_an_heir_add_up_however_what_it_adopts_was_damaged(process, damage, was_sent):
    process.say(*range(20))
    if was_sent:
        process.send()
    process.say(*range(20, 30))
    path = file_of(process)
    process.die()
    damage(path)
    heir = Process(process.outbox.folder.parent)
    adopt_orphans(heir.outbox)
    reported = heir.outbox.numbers()["reported"]
    heir.check_numbers(reported)
    work_off(heir)
    numbers = heir.check_numbers(reported)
    assert (numbers["pending"], numbers["under_way"]) == (0, 0)
