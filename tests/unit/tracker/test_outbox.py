import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterflow.domain.events import Lane
from masterflow.tracker.outbox.adoption import adopt_orphans
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.outbox import Outbox, OutboxClosed
from masterflow.tracker.outbox.segments import Segment, segments_in
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.outbox.spool import purge, statuses
from tests.support.events.lines import content_of, event_line
from tests.support.events.outboxes import BROKER


class Outboxes:
    """Outboxes on one spool; the settings are small, so that everything happens after a few events."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.losses = Losses()
        self._open: list[Outbox] = []

    def open(self, **settings: object) -> Outbox:
        values = {"spool_dir": self.spool, "segment_bytes": 500, **settings}
        self._open.append(Outbox(OutboxSettings.model_validate(values), self.losses, broker=BROKER))
        return self._open[-1]

    def close(self, outbox: Outbox) -> None:
        self._open.remove(outbox)
        outbox.close()

    def close_all(self) -> None:
        for outbox in list(self._open):
            self.close(outbox)


@pytest.fixture
def outboxes(tmp_path: Path) -> Iterator[Outboxes]:
    outboxes = Outboxes(tmp_path / "spool")
    yield outboxes
    outboxes.close_all()


def fill(outbox: Outbox, lane: Lane, *numbers: int) -> None:
    """Append records of 100 bytes."""
    for number in numbers:
        outbox.append(lane, event_line(f"{number:023d}"))


def numbers_in(folder: Path, lane: Lane | None = None) -> list[int]:
    found = []
    for segment in map(Segment.find, segments_in(folder)):
        if lane in (None, segment.lane) and segment.size:
            events = segment.read(0, segment.size).events
            found += [int(content_of(event)) for texts in events.values() for event in texts]
    return sorted(found)


def confirm_all(outbox: Outbox) -> None:
    for segment in outbox.close_segments():
        segment.read_to, segment.confirmed_records = segment.size, segment.records
    outbox.settle()


def test_an_event_is_in_the_file_when_append_returns(outboxes):
    outbox = outboxes.open()
    fill(outbox, "vital", 1)
    assert numbers_in(outbox.folder, "vital") == [1]
    fill(outbox, "detail", 2)
    assert numbers_in(outbox.folder, "detail") == [2]
    assert outbox.pending() == {"pending_records": 2, "pending_bytes": 200}


def test_a_full_segment_is_closed_and_the_next_one_begun(outboxes):
    outbox = outboxes.open()
    fill(outbox, "detail", *range(12))
    assert len(segments_in(outbox.folder)) == 4
    assert numbers_in(outbox.folder) == list(range(12))


def test_a_confirmed_segment_is_deleted_and_makes_room(outboxes):
    outbox = outboxes.open()
    fill(outbox, "detail", *range(12))
    confirm_all(outbox)
    assert outbox.pending() == {"pending_records": 0, "pending_bytes": 0}
    assert numbers_in(outbox.folder) == []
    assert len(segments_in(outbox.folder)) == 2


def test_what_is_not_confirmed_is_not_deleted(outboxes):
    outbox = outboxes.open()
    fill(outbox, "detail", *range(12))
    [first, second, *_] = outbox.close_segments()
    first.read_to = first.size
    first.batches_under_way = 1
    second.read_to = second.size
    outbox.settle()
    assert numbers_in(outbox.folder) == [0, 1, 2, 3, 4, 10, 11]


def test_details_are_dropped_first_and_the_oldest_of_them(outboxes):
    outbox = outboxes.open(max_bytes=2_000)
    fill(outbox, "detail", *range(10))
    fill(outbox, "vital", *range(100, 115))
    outbox.settle()
    assert numbers_in(outbox.folder, "vital") == list(range(100, 115))
    assert numbers_in(outbox.folder, "detail") == [5, 6, 7, 8, 9]
    assert outboxes.losses.counts() == {"overflow_detail": 5}


def test_vital_events_are_refused_only_when_no_detail_is_left(outboxes):
    outbox = outboxes.open(max_bytes=2_000)
    fill(outbox, "detail", *range(10))
    fill(outbox, "vital", *range(100, 125))
    fill(outbox, "detail", 11)
    outbox.settle()
    assert numbers_in(outbox.folder, "vital") == list(range(100, 120))
    assert numbers_in(outbox.folder, "detail") == []
    assert outboxes.losses.counts() == {"overflow_detail": 11, "overflow_vital": 5}
    assert len(segments_in(outbox.folder)) == 4 + 1  # Refusing makes no files.


def test_the_bound_holds_on_the_disk(outboxes):
    outbox = outboxes.open(max_bytes=5_000)
    for number in range(300):
        fill(outbox, "detail" if number % 3 else "vital", number)
        outbox.settle()
        assert sum(path.stat().st_size for path in segments_in(outbox.folder)) <= 5_000


def test_overflow_is_logged_once_a_minute_however_much_is_lost(outboxes, caplog):
    outbox = outboxes.open(max_bytes=1_000)
    with caplog.at_level(logging.WARNING):
        fill(outbox, "vital", *range(200))
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Lost 1 events so far (overflow_vital)"
    ]
    assert outboxes.losses.counts() == {"overflow_vital": 190}


def test_threads_lose_none_of_each_others_events(outboxes):
    outbox = outboxes.open()
    threads = [
        threading.Thread(target=fill, args=(outbox, "detail", *range(start, start + 250)))
        for start in range(0, 2_000, 250)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers_in(outbox.folder) == list(range(2_000))


@pytest.mark.parametrize("fsync", ["interval", "always", "never"])
def test_every_way_to_sync_keeps_every_event(outboxes, fsync):
    outbox = outboxes.open(fsync=fsync)
    fill(outbox, "vital", *range(12))
    outbox.sync()
    fill(outbox, "vital", *range(12, 20))
    assert numbers_in(outbox.folder) == list(range(20))


def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    files: list[int] = []
    monkeypatch.setattr("os.fdatasync", files.append)
    return files


def test_sync_brings_only_what_was_written_since_and_closes_what_is_full(outboxes, monkeypatch):
    files = synced(monkeypatch)
    outbox = outboxes.open()
    fill(outbox, "vital", *range(7))
    outbox.sync()
    assert len(files) == 2
    outbox.sync()
    assert len(files) == 2


def test_with_fsync_always_an_event_is_on_the_disk_when_append_returns(outboxes, monkeypatch):
    files = synced(monkeypatch)
    outbox = outboxes.open(fsync="always")
    fill(outbox, "vital", 1, 2, 3)
    assert len(files) == 3


def test_a_closed_outbox_leaves_nothing_behind_when_nothing_waits(outboxes):
    outbox = outboxes.open()
    fill(outbox, "detail", 1)
    confirm_all(outbox)
    outboxes.close(outbox)
    assert not list(outboxes.spool.iterdir())


def test_a_closed_outbox_takes_no_event(outboxes):
    outbox = outboxes.open()
    outboxes.close(outbox)
    with pytest.raises(OutboxClosed):
        fill(outbox, "detail", 1)


def test_what_a_dead_process_left_is_adopted_with_all_its_events(outboxes):
    dead = outboxes.open()
    fill(dead, "detail", *range(12))
    fill(dead, "vital", 20)
    outboxes.close(dead)
    outbox = outboxes.open()
    assert adopt_orphans(outbox) == 13
    assert [path.name for path in outboxes.spool.iterdir()] == [outbox.folder.name]
    assert numbers_in(outbox.folder) == [*range(12), 20]
    assert outbox.pending() == {"pending_records": 13, "pending_bytes": 1_300}


def test_what_a_living_process_has_is_not_touched(outboxes):
    living = outboxes.open()
    fill(living, "detail", 1)
    assert adopt_orphans(outboxes.open()) == 0
    assert numbers_in(living.folder) == [1]


def test_no_more_is_adopted_than_there_is_room_for(outboxes):
    dead = outboxes.open()
    fill(dead, "detail", *range(10))
    outboxes.close(dead)
    outbox = outboxes.open(max_bytes=700)
    assert adopt_orphans(outbox) == 5
    assert numbers_in(dead.folder) == [5, 6, 7, 8, 9]
    confirm_all(outbox)
    assert adopt_orphans(outbox) == 5
    assert not dead.folder.exists()


def test_two_adopters_share_what_is_left_without_doubling_it(outboxes):
    for number in range(20):
        dead = outboxes.open()
        fill(dead, "detail", number)
        outboxes.close(dead)
    adopters = [outboxes.open(), outboxes.open()]
    threads = [threading.Thread(target=adopt_orphans, args=(outbox,)) for outbox in adopters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for outbox in adopters for number in numbers_in(outbox.folder)) == list(range(20))


def test_the_spool_tells_what_waits_and_who_lives(outboxes):
    dead, living = outboxes.open(), outboxes.open()
    fill(dead, "detail", *range(3))
    outboxes.close(dead)
    fill(living, "vital", 1)
    found = {status.name: status for status in statuses(outboxes.spool)}
    assert (found[dead.folder.name].records, found[dead.folder.name].has_owner) == (3, False)
    assert (found[living.folder.name].records, found[living.folder.name].has_owner) == (1, True)
    assert found[living.folder.name].bytes == 100
    assert 0 <= found[dead.folder.name].oldest_age_s < 60


def test_purging_deletes_what_the_dead_left_and_nothing_else(outboxes):
    dead, living = outboxes.open(), outboxes.open()
    fill(dead, "detail", *range(3))
    outboxes.close(dead)
    fill(living, "vital", 1)
    assert purge(outboxes.spool, broker=BROKER) == 3
    assert [status.name for status in statuses(outboxes.spool)] == [living.folder.name]
    assert numbers_in(living.folder) == [1]


def test_an_empty_spool_has_nothing_to_tell_or_purge(tmp_path):
    assert statuses(tmp_path / "spool") == []
    assert purge(tmp_path / "spool") == 0
