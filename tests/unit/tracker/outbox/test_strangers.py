import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from masterflow.domain.life.deaths import folders_that_hold, left_in
from masterflow.domain.life.holding import HOLDING
from masterflow.domain.life.own_files import others_may_write
from masterflow.scripts.doctor.outbox import rights_result, sick_result
from masterflow.tracker.outbox.adoption import adopt_orphans, has_orphans
from masterflow.tracker.outbox.folder import LOCK
from masterflow.tracker.outbox.segments import Segment, segments_in
from masterflow.tracker.outbox.spool import broker_of, purge, statuses
from tests.support.events.outboxes import BROKER, Process, contents

NOBODY = 65_534
NAME = "vital-1700000000000000-0123abcd.log"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def left(spool: Path, *numbers: int) -> Path:
    """Return the folder of a process that died before it sent anything."""
    process = Process(spool)
    process.say(*numbers)
    process.die()
    return process.outbox.folder


def give_away(folder: Path) -> None:
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def at_once(action):
    """Return what an action returns; fails if it waits, as who opens a FIFO does."""
    results = []
    thread = threading.Thread(target=lambda: results.append(action()), daemon=True)
    thread.start()
    thread.join(10)
    assert results, "it waits"
    return results[0]


@needs_root
def test_events_that_another_user_planted_are_neither_sent_nor_deleted_but_named(tmp_path, caplog):
    planted = left(tmp_path, 1)
    give_away(planted)
    own = left(tmp_path, 2)
    process = Process(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert adopt_orphans(process.outbox, whoever=True) == 1
        adopt_orphans(process.outbox, whoever=True)
    assert contents(*process.send()) == [2]
    assert caplog.text.count(f"{planted} in the outbox folder is not looked at") == 1
    assert not has_orphans(tmp_path, BROKER)
    assert purge(tmp_path) == 0
    assert segments_or_links(planted)
    assert not own.exists()
    [status] = [it for it in statuses(tmp_path) if it.name == planted.name]
    assert f"belongs to the user with the number {NOBODY}" in status.trouble
    assert planted.name in sick_result([status]).found


def segments_or_links(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".log")]


@needs_root
def test_however_many_folders_another_user_plants_the_log_has_one_line_of_them(tmp_path, caplog):
    for number in range(50):
        folder = tmp_path / f"evil-{number}-0123abcd"
        folder.mkdir()
        (folder / LOCK).touch()
        give_away(folder)
    own = left(tmp_path, 1)
    process = Process(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert adopt_orphans(process.outbox) == 1
    [line] = caplog.messages
    assert "nor are 49 others" in line
    assert not own.exists()
    found = sick_result(statuses(tmp_path)).found
    assert found.startswith("50 folders")
    assert found.count("evil-") == 5


def test_a_second_name_of_a_file_of_ours_is_neither_adopted_nor_deleted_but_named(tmp_path):
    # As another user can give it one who may write in the folder, where the kernel does not protect links.
    folder = left(tmp_path / "spool", 1)
    precious = tmp_path / "precious.txt"
    precious.write_text("mine\n" * 100)
    os.link(precious, folder / NAME)
    process = Process(tmp_path / "spool")
    assert adopt_orphans(process.outbox) == 1
    assert contents(*process.send()) == [1]
    assert purge(tmp_path / "spool") == 0
    assert precious.read_text() == "mine\n" * 100
    assert (folder / NAME).exists()
    [status] = [it for it in statuses(tmp_path / "spool") if it.name == folder.name]
    assert NAME in status.trouble


_SWAPPING = f"""
import os, shutil, sys, time
os.setgid({NOBODY}); os.setuid({NOBODY})
spool, end, swaps = sys.argv[1], time.monotonic() + 2, 0
names = [name for name in os.listdir(spool) if name[0] != "." and name != sys.argv[2]]
while time.monotonic() < end:
    for name in names:
        place, aside = f"{{spool}}/{{name}}", spool + "/.aside"
        try:
            os.rename(place, aside)
        except OSError:
            continue
        try:
            if swaps % 2:
                os.symlink("/etc", place); os.unlink(place)
            else:
                os.mkdir(place)
                open(place + "/lock", "w").write('{{"broker":"{BROKER}"}}\\n')
                open(place + "/{NAME}", "w").write("x")
                shutil.rmtree(place)
        except OSError:
            shutil.rmtree(place, ignore_errors=True)
        os.rename(aside, place)
        swaps += 1
        if swaps == len(names):
            print("ready", flush=True)
"""


@needs_root
def test_a_folder_that_is_swapped_while_it_is_looked_at_gives_only_its_own_events():
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        spool = Path(place) / "spool"
        spool.mkdir()
        spool.chmod(0o777)
        for number in range(30):
            left(spool, number)
        process = Process(spool)
        own = process.outbox.folder.name
        command = [sys.executable, "-c", _SWAPPING, str(spool), own]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as swapping:
            assert swapping.stdout.readline() == "ready\n"
            while swapping.poll() is None:
                adopt_orphans(process.outbox)
                statuses(spool)
        adopt_orphans(process.outbox)
        assert sorted(contents(*process.send())) == list(range(30))
        assert process.outbox.numbers()["lost"] == 0


@needs_root
def test_the_name_of_a_planted_folder_forges_no_line_in_the_log_of_the_orchestrator(tmp_path, caplog):
    planted = tmp_path / "a\x1b[2J\x9b\u202e\u2028\nFORGED-1-0123abcd"
    left(tmp_path, 1).rename(planted)
    give_away(planted)
    adopt_orphans(Process(tmp_path).outbox)
    [message] = [record.getMessage() for record in caplog.records if "FORGED" in record.getMessage()]
    assert message.isprintable()


@needs_root
def test_nobody_can_tell_by_a_planted_folder_that_a_flow_is_lost(tmp_path):
    planted = left(tmp_path, 1)
    (planted / HOLDING).write_text("")
    assert folders_that_hold(tmp_path) == [planted]
    give_away(planted)
    assert folders_that_hold(tmp_path) == []
    with pytest.raises(OSError, match="left alone"):
        left_in(planted)


def test_what_tells_of_held_flows_may_be_no_fifo_and_no_link(tmp_path):
    folder = left(tmp_path, 1)
    os.mkfifo(folder / HOLDING)
    with pytest.raises(OSError, match="no plain file"):
        left_in(folder)
    (folder / HOLDING).unlink()
    (folder / HOLDING).symlink_to(folder / LOCK)
    with pytest.raises(OSError, match="symbolic links"):
        left_in(folder)


@needs_root
def test_a_file_that_another_user_planted_in_a_folder_of_ours_is_left_alone(tmp_path):
    folder = left(tmp_path, 1)
    planted = folder / NAME
    shutil.copy(next(path for path in segments_in(folder)), planted)
    os.chown(planted, NOBODY, NOBODY)
    process = Process(tmp_path)
    assert adopt_orphans(process.outbox) == 1
    assert contents(*process.send()) == [1]
    [status] = [it for it in statuses(tmp_path) if it.name == folder.name]
    assert NAME in status.trouble
    assert planted.exists()


@pytest.mark.parametrize("name", [LOCK, NAME])
def test_a_fifo_keeps_nobody_waiting(tmp_path, name):
    folder = left(tmp_path, 1)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    process = Process(tmp_path)
    at_once(lambda: adopt_orphans(process.outbox, whoever=True))
    at_once(lambda: broker_of(folder))
    [status] = [it for it in at_once(lambda: statuses(tmp_path)) if it.name == folder.name]
    assert status.trouble
    at_once(lambda: purge(tmp_path))


@pytest.mark.parametrize("name", [LOCK, NAME])
def test_no_link_is_followed(tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    folder = left(tmp_path / "spool", 1)
    shutil.copy(folder / LOCK if name == LOCK else segments_in(folder)[0], elsewhere)
    content = elsewhere.read_bytes()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(elsewhere)
    process = Process(tmp_path / "spool")
    assert adopt_orphans(process.outbox, whoever=True) == (0 if name == LOCK else 1)
    assert (broker_of(folder) == "") == (name == LOCK or not folder.exists())
    assert elsewhere.read_bytes() == content
    [status] = [it for it in statuses(tmp_path / "spool") if it.name == folder.name]
    assert status.trouble


def test_the_size_of_a_file_is_looked_at_before_its_content(tmp_path, monkeypatch):
    folder = left(tmp_path, 1)
    process = Process(tmp_path)
    with (folder / NAME).open("wb") as file:
        file.truncate(100_000_000_000)
    monkeypatch.setattr(Segment, "find", _not_the_big_one(Segment.find))
    assert adopt_orphans(process.outbox) == 1


def _not_the_big_one(find: Callable[[Path], Segment]) -> Callable[[Path], Segment]:
    def guarded(path: Path) -> Segment:
        assert path.name != NAME
        return find(path)

    return guarded


def test_nobody_else_may_look_into_what_an_outbox_keeps_whatever_the_umask(tmp_path):
    former = os.umask(0)
    try:
        folder = left(tmp_path / "spool", 1)
    finally:
        os.umask(former)
    kept = [folder.parent, folder, *folder.iterdir()]
    assert len(kept) >= 4
    assert {path.name for path in kept if path.stat().st_mode & 0o077} == set()


def test_doctor_says_that_others_may_write_in_the_outbox_folder(tmp_path):
    tmp_path.chmod(0o700)
    assert rights_result(tmp_path).level == "well"
    tmp_path.chmod(0o777)
    assert others_may_write(tmp_path)
    assert rights_result(tmp_path).level == "problem"
    tmp_path.chmod(0o1777)
    assert not others_may_write(tmp_path)
