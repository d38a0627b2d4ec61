import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.tracker.outbox.segments import (
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    Segment,
    decode_record,
    encode_record,
)
from tests.support.events.lines import ACCOUNT, content_of, event_line

OTHER = ACCOUNT.replace("1", "2")


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    return Segment.create(tmp_path, "detail")


def fill(segment: Segment, *contents: Any, account: str = ACCOUNT) -> None:
    for content in contents:
        segment.append(encode_record(event_line(content, account=account)))


def read_all(segment: Segment) -> tuple[list[Any], int]:
    """Return what a segment's events contain, and the number of its corrupt records."""
    contents, corrupt_records, start = [], 0, 0
    while start < segment.size:
        stretch = segment.read(start, segment.size)
        contents += [content_of(event) for events in stretch.events.values() for event in events]
        corrupt_records += stretch.corrupt_records
        start = stretch.end
    return contents, corrupt_records


@given(st.text())
def test_a_record_reads_back_as_it_was_written(text):
    event = event_line(text)
    record = encode_record(event)
    assert record.endswith(b"\n")
    assert record.count(b"\n") == 1
    assert decode_record(record[:-1]) == (ACCOUNT.encode(), event)


@given(st.data())
def test_no_damage_of_one_byte_changes_an_event_unnoticed(data):
    line = encode_record(event_line("data_import"))[:-1]
    position = data.draw(st.integers(0, len(line) - 1))
    damage = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (line[position], ord("\n"))))
    damaged = line[:position] + bytes([damage]) + line[position + 1 :]
    assert decode_record(damaged) in (None, decode_record(line))


@pytest.mark.parametrize("torn_bytes", [2, 30, 70])
def test_a_torn_end_is_skipped_and_counted(segment, torn_bytes):
    fill(segment, 1, 2)
    segment.close()
    with segment.path.open("r+b") as file:
        file.truncate(segment.size - torn_bytes)
    assert read_all(Segment.find(segment.path)) == ([1], 1)


def test_an_end_that_lacks_no_more_than_its_newline_is_read(segment):
    fill(segment, 1)
    with segment.path.open("r+b") as file:
        file.truncate(segment.size - 1)
    found = Segment.find(segment.path)
    assert read_all(found) == ([1], 0)
    assert found.records == 1


def test_a_damaged_record_does_not_take_its_neighbours_along(segment):
    fill(segment, 1, 2, 3)
    text = segment.path.read_bytes()
    segment.path.write_bytes(text.replace(b'"n":2', b'"n":7'))
    assert read_all(segment) == ([1, 3], 1)


def test_a_record_of_nobody_is_corrupt(segment):
    segment.append(encode_record(b'{"n":1}'))
    fill(segment, 2)
    assert read_all(segment) == ([2], 1)


def test_a_file_that_somebody_shortened_is_given_up(segment):
    fill(segment, 1, 2)
    os.truncate(segment.path, 0)
    assert read_all(segment) == ([], 1)


def test_a_write_cut_short_by_the_disk_leaves_nothing(segment, monkeypatch):
    write = os.pwrite
    fill(segment, 1)
    for cut in (40, 5, 1):
        monkeypatch.setattr("os.pwrite", lambda file, data, at, cut=cut: write(file, data[:cut], at))
        with pytest.raises(OSError, match="took"):
            fill(segment, "lost")
    monkeypatch.undo()
    fill(segment, 2)
    assert read_all(segment) == ([1, 2], 0)
    assert (segment.records, segment.size) == (2, segment.path.stat().st_size)


def test_what_is_being_written_beyond_the_known_size_is_not_read(segment):
    fill(segment, 1)
    with segment.path.open("ab") as file:
        file.write(b"0123")
    assert read_all(segment) == ([1], 0)


def test_a_message_holds_a_bounded_number_of_records_and_bytes(segment):
    fill(segment, *range(MAX_BATCH_RECORDS + 1))
    stretch = segment.read(0, segment.size)
    assert len(stretch.events[ACCOUNT.encode()]) == MAX_BATCH_RECORDS
    fill(segment, *["x" * 1_000] * 300)
    stretch = segment.read(stretch.end, segment.size)
    assert stretch.end < segment.size
    assert MAX_BATCH_BYTES / 2 < sum(map(len, stretch.events[ACCOUNT.encode()])) <= MAX_BATCH_BYTES


def test_an_event_larger_than_a_message_is_read_alone(segment):
    large = "x" * 3 * MAX_BATCH_BYTES
    fill(segment, large, 2)
    stretch = segment.read(0, segment.size)
    assert [content_of(event) for event in stretch.events[ACCOUNT.encode()]] == [large]
    assert read_all(segment) == ([large, 2], 0)


def test_client_accounts_are_kept_apart(segment):
    fill(segment, 1)
    fill(segment, 2, account=OTHER)
    fill(segment, 3)
    events = segment.read(0, segment.size).events
    assert {account: [content_of(event) for event in texts] for account, texts in events.items()} == {
        ACCOUNT.encode(): [1, 3],
        OTHER.encode(): [2],
    }


def test_a_segment_found_again_knows_its_lane_its_records_and_its_age(tmp_path):
    segment = Segment.create(tmp_path, "vital")
    fill(segment, 1, 2)
    found = Segment.find(segment.path)
    assert (found.lane, found.records, found.size, found.is_open) == ("vital", 2, segment.size, False)
    assert 0 <= found.age_s < 60
    assert Segment.create(tmp_path, "vital").path.name > segment.path.name
