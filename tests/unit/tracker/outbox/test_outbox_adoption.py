import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from masterflow.tracker.outbox.adoption import adopt_orphans
from masterflow.tracker.outbox.folder import LOCK, Journal
from masterflow.tracker.outbox.segments import Segment, encode_record, segments_in
from masterflow.tracker.outbox.spool import broker_of, purge, statuses, waiting_records
from tests.support.events.lines import ACCOUNT, event_line
from tests.support.events.outboxes import BROKER, Process, contents

HERE, ELSEWHERE = BROKER, "redis://elsewhere:6379/0"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def folder_of(process: Process) -> Path:
    return process.outbox.folder


def left(spool: Path, *contents: int, broker: str = HERE) -> Path:
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
    assert [list(each.names) for each in successor.window.awaited()] == [[first.outbox.sender_id]]
    [awaited] = successor.window.awaited()
    assert awaited.digest(batch.sender_id) == batch.digest
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
    lock = folder_of(process) / LOCK
    lock.write_bytes(lock.read_bytes().splitlines()[0])  # whose it is, and no more
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


def test_a_folder_that_does_not_say_whose_it_is_waits_for_a_person(spool):
    flat_folder(spool)
    unknown = Process(spool, broker="")
    assert adopt_orphans(unknown.outbox) == 0
    unknown.die()
    process = Process(spool, broker=HERE)
    assert adopt_orphans(process.outbox) == 0
    assert purge(spool, broker=HERE) == 0
    assert [it.records for it in statuses(spool) if not it.has_owner and it.records] == [1]
    assert adopt_orphans(process.outbox, whoever=True) == 1
    assert contents(*process.send()) == [7]


def test_what_was_reported_before_the_settings_said_for_whom_is_for_the_first_that_they_name(spool):
    process = Process(spool, broker="")
    process.say(1)
    assert process.outbox.own.belong_to(HERE)
    assert not process.outbox.own.belong_to(ELSEWHERE)
    process.die()
    assert adopt_orphans(Process(spool, broker=ELSEWHERE).outbox) == 0
    assert adopt_orphans(Process(spool, broker=HERE).outbox) == 1


def refuse_to_write(descriptor: int, data: bytes, at: int) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_a_part(descriptor: int, data: bytes, at: int) -> int:
    return WRITE(descriptor, data[: len(data) // 2], at)


WRITE = os.pwrite


@pytest.mark.parametrize("write", [refuse_to_write, write_a_part])
def test_no_folder_is_seen_that_does_not_say_whose_it_is(spool, monkeypatch, write):
    monkeypatch.setattr("os.pwrite", write)
    with pytest.raises(OSError, match=r"No space|took"):
        Process(spool)
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("write", [refuse_to_write, write_a_part])
def test_a_lock_that_is_put_back_says_whose_the_folder_is_or_is_not_put_back(spool, monkeypatch, write):
    process = Process(spool)
    (folder_of(process) / LOCK).unlink()
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", write)
        process.outbox.tidy()
    assert not (folder_of(process) / LOCK).exists()
    process.outbox.tidy()
    assert broker_of(folder_of(process)) == HERE


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("call", ["pwrite", "ftruncate"])
def test_a_kill_while_a_journal_is_shortened_costs_no_knowledge_of_what_waits(
    spool, monkeypatch, call, is_done
):
    process = Process(spool)
    for number in range(100):
        process.say(number)
        process.confirm(*process.send()) if number < 98 else process.send()
    monkeypatch.setattr("masterflow.tracker.outbox.folder._LONG_BYTES", 0)
    process.outbox.own._short_at = 0
    pid = os.fork()
    if not pid:
        real = getattr(os, call)
        monkeypatch.setattr(f"os.{call}", lambda *args: [is_done and real(*args), os._exit(0)])
        process.outbox.own.shorten({path.name for path in segments_in(folder_of(process))})
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    process.die()
    successor = Process(spool)
    assert adopt_orphans(successor.outbox) == 2
    assert successor.send() == []
    assert successor.check_numbers(2)["under_way"] == 2


@pytest.mark.parametrize("draft", [".0123abcd", ".vital-0000000000000001-00000000.log"])
def test_a_draft_that_a_kill_has_left_keeps_no_folder(spool, draft):
    folder = left(spool, 1)
    (folder / draft).write_text("a part")
    assert adopt_orphans(Process(spool).outbox) == 1
    assert not folder.exists()


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
