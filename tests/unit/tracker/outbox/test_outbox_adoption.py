import os
from collections.abc import Callable
from pathlib import Path

import pytest

from masterflow.tracker.outbox.adoption import adopt_orphans
from masterflow.tracker.outbox.folder import LOCK, Journal
from masterflow.tracker.outbox.segments import Segment, encode_record
from masterflow.tracker.outbox.spool import statuses, waiting_records
from tests.support.events.lines import ACCOUNT, event_line
from tests.support.events.outboxes import Process, contents

HERE, ELSEWHERE = "redis://here:6379/0", "redis://elsewhere:6379/0"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def folder_of(process: Process) -> Path:
    return process.outbox.folder


def left(spool: Path, *contents: int, broker: str = "") -> Path:
    """Return the folder of a process that died before it sent anything."""
    process = Process(spool, broker=broker)
    process.say(*contents)
    process.die()
    return folder_of(process)


# What was under way


def test_a_successor_publishes_nothing_that_its_predecessor_had_under_way(spool):
    first = Process(spool)
    for number in range(5):
        first.say(number)
        first.send()
    first.die()
    for _ in range(8):
        successor = Process(spool)
        assert adopt_orphans(successor.outbox) == 5
        assert successor.send() == []
        successor.check_numbers(5)
        successor.die()


def test_a_successor_sends_at_once_what_its_predecessor_had_not_sent(spool):
    first = Process(spool)
    first.say(1)
    first.send()
    first.say(2, 3)
    first.die()
    successor = Process(spool)
    adopt_orphans(successor.outbox)
    assert contents(*successor.send()) == [2, 3]


def test_a_successor_takes_its_predecessors_confirmations(spool):
    first = Process(spool)
    first.say(1, 2)
    [batch] = first.send()
    first.die()
    successor = Process(spool)
    adopt_orphans(successor.outbox)
    successor.send()
    assert successor.window.names() == {first.outbox.sender_id}
    assert successor.confirm(batch) == 1
    assert successor.check_numbers(2)["confirmed"] == 2
    assert waiting_records(spool) == 0


def test_what_was_confirmed_is_not_sent_again_though_its_file_is_still_there(spool):
    first = Process(spool)
    first.say(1)
    [batch] = first.send()
    first.say(2)
    first.confirm(batch)
    first.die()
    assert waiting_records(spool) == 1
    successor = Process(spool)
    assert adopt_orphans(successor.outbox) == 1
    assert contents(*successor.send()) == [2]
    successor.check_numbers(1)


def test_a_cut_of_many_accounts_that_was_sent_in_part_is_sent_to_its_end(spool):
    accounts = [ACCOUNT[:-1] + str(number) for number in range(5)]
    first = Process(spool)
    for account in accounts:
        first.say(account, account=account)
    first.window.take(first.outbox.unread())
    for parcel in list(first.window.due(0))[:2]:
        assert first.window.batch(parcel, "me")
        first.window.note_sent(parcel, 0)
    first.die()
    successor = Process(spool)
    adopt_orphans(successor.outbox)
    assert contents(*successor.send()) == accounts[2:]
    successor.check_numbers(5)


@pytest.mark.parametrize("lost_bytes", range(1, 400, 7))
def test_a_torn_journal_costs_copies_and_never_an_event(spool, lost_bytes):
    first = Process(spool)
    for number in range(3):
        first.say(number, number + 10)
        [batch] = first.send()
    first.confirm(batch)
    lock = folder_of(first) / LOCK
    os.truncate(lock, max(0, lock.stat().st_size - lost_bytes))
    first.die()
    successor = Process(spool)
    adopt_orphans(successor.outbox)
    successor.send()
    waiting = {parcel.batch_id for parcel in successor.window.due(float("inf"))}
    known = contents(*successor.published, *first.published)
    assert sorted(set(known)) == [0, 1, 2, 10, 11, 12]
    assert waiting or successor.published


def test_batch_ids_follow_from_what_is_in_them(spool):
    process = Process(spool)
    process.say(1, 2)
    [batch] = process.send()
    process.die()
    (folder_of(process) / LOCK).write_bytes(b"")
    successor = Process(spool)
    adopt_orphans(successor.outbox)
    [copy] = successor.send()
    assert (copy.batch_id, copy.events) == (batch.batch_id, batch.events)


def test_a_long_journal_is_shortened_to_what_still_waits(spool, monkeypatch):
    monkeypatch.setattr("masterflow.tracker.outbox.folder._LONG_BYTES", 5_000)
    process = Process(spool)
    process.outbox.own._short_at = 5_000
    for number in range(200):
        process.say(number)
        batch, *_ = process.send()
        if number:
            process.confirm(batch)
        process.outbox.tidy()
    assert (folder_of(process) / LOCK).stat().st_size < 20_000
    process.die()
    successor = Process(spool)
    adopt_orphans(successor.outbox)
    assert successor.send() == []
    assert len(successor.window) == 1


# Whose it is


def test_a_process_takes_over_only_what_is_for_its_own_broker(spool):
    left(spool, 1, broker=HERE)
    other = left(spool, 2, broker=ELSEWHERE)
    process = Process(spool, broker=HERE)
    assert adopt_orphans(process.outbox) == 1
    assert contents(*process.send()) == [1]
    [status] = [it for it in statuses(spool) if not it.has_owner]
    assert (status.name, status.broker, status.records) == (other.name, ELSEWHERE, 1)


def test_a_person_may_say_that_what_is_for_another_broker_is_ones_own(spool):
    left(spool, 2, broker=ELSEWHERE)
    process = Process(spool, broker=HERE)
    assert adopt_orphans(process.outbox) == 0
    assert adopt_orphans(process.outbox, whoever=True) == 1


def flat_folder(spool: Path) -> Path:
    """Return a folder as an earlier version left it: its lock is an empty file."""
    folder = spool / "host-1-00000000"
    folder.mkdir(parents=True)
    (folder / LOCK).touch()
    Segment.create(folder, "vital").append(encode_record(event_line(7)))
    return folder


def test_folders_of_earlier_versions_are_taken_over_where_one_broker_is_used(spool):
    flat_folder(spool)
    process = Process(spool, broker=HERE)
    assert adopt_orphans(process.outbox) == 1
    assert contents(*process.send()) == [7]


def test_folders_of_earlier_versions_are_left_where_another_broker_is_used_too(spool):
    folder = flat_folder(spool)
    other = Process(spool, broker=ELSEWHERE)
    assert adopt_orphans(Process(spool, broker=HERE).outbox) == 0
    assert folder.exists()
    assert other.outbox.pending()["pending_records"] == 0


# Sick neighbours


def segment_folder(folder: Path) -> None:
    (folder / "x.log").mkdir()


def stray_file(folder: Path) -> None:
    (folder / ".nfs0001").touch()


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "vital-0000000000000001-00000000.log")


def strange_name(folder: Path) -> None:
    (folder / "vital.log").write_text("nothing of ours")


def lost_lock(folder: Path) -> None:
    (folder / LOCK).unlink()


def lock_that_is_a_folder(folder: Path) -> None:
    (folder / LOCK).unlink()
    (folder / LOCK).mkdir()


@pytest.mark.parametrize(
    "sicken", [segment_folder, stray_file, pipe, strange_name, lost_lock, lock_that_is_a_folder]
)
def test_one_sick_folder_costs_no_other_event(spool, sicken: Callable[[Path], None]):
    folders = sorted(left(spool, number) for number in range(3))
    sicken(folders[0])
    process = Process(spool)
    adopted = adopt_orphans(process.outbox)
    assert adopted >= 2
    process.send()
    assert len(contents(*process.published)) == adopted
    assert adopted + sum(it.records for it in statuses(spool) if it.name == folders[0].name) == 3
    assert waiting_records(spool) >= 3


def test_a_file_that_cannot_be_moved_stays_and_is_shown(spool, monkeypatch):
    folders = sorted(left(spool, number) for number in range(3))
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.parent == folders[0] and path.suffix == ".log":
            raise PermissionError(1, "Operation not permitted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    process = Process(spool)
    assert adopt_orphans(process.outbox) == 2
    process.check_numbers(2)
    [stuck] = [it for it in statuses(spool) if it.name == folders[0].name]
    assert (stuck.records, stuck.has_owner) == (1, False)


def test_a_folder_that_cannot_be_read_is_named_and_nothing_waits_is_not_said(spool, monkeypatch):
    folder = left(spool, 1)
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path == folder:
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    [status] = statuses(spool)
    assert (status.name, status.trouble) == (folder.name, "it cannot be read (Permission denied)")
    assert waiting_records(spool) == 1


def test_a_living_process_puts_a_lost_lock_back(spool):
    process = Process(spool, broker=HERE)
    process.say(1)
    process.send()
    (folder_of(process) / LOCK).unlink()
    process.outbox.tidy()
    [status] = statuses(spool)
    assert (status.has_owner, status.broker, status.trouble) == (True, HERE, "")
    assert adopt_orphans(Process(spool, broker=HERE).outbox) == 0
    with (folder_of(process) / LOCK).open("rb") as file:
        assert len(Journal.read(file.fileno()).sent) == 1


def test_where_locks_say_nothing_nobody_takes_over_what_may_be_a_living_ones(spool, monkeypatch):
    living = Process(spool)
    living.say(1)
    monkeypatch.setattr("fcntl.flock", lambda descriptor, how: None)
    process = Process(spool)
    assert not process.outbox.own.excludes_others
    assert adopt_orphans(process.outbox) == 0


def test_where_there_are_no_locks_events_are_kept_all_the_same(spool, monkeypatch):
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    process = Process(spool)
    process.say(1)
    assert not process.outbox.own.excludes_others
    assert contents(*process.send()) == [1]
    assert adopt_orphans(process.outbox) == 0
