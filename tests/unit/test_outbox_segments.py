import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.segments import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Segment, decode_record, encode_record

ACCOUNT = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    return Segment.create(tmp_path, "detail")


def fill(segment: Segment, *events: bytes, account: str = ACCOUNT) -> None:
    for event in events:
        segment.append(encode_record(account, event))


def read_all(segment: Segment) -> tuple[list[bytes], int]:
    """Return a segment's events and the number of its corrupt records."""
    events, corrupt_records, start = [], 0, 0
    while start < segment.size:
        span = segment.read(start, segment.size)
        events += [event for account in span.events.values() for event in account]
        corrupt_records += span.corrupt_records
        start = span.end
    return events, corrupt_records


@given(st.dictionaries(st.text(), st.text()))
def test_a_record_reads_back_as_it_was_written(fields):
    event = json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")
    record = encode_record(ACCOUNT, event)
    assert record.endswith(b"\n")
    assert record.count(b"\n") == 1
    assert decode_record(record[:-1]) == (ACCOUNT.encode(), event)


@given(st.data())
def test_no_damage_of_one_byte_changes_an_event_unnoticed(data):
    line = encode_record(ACCOUNT, b'{"phase":"data_import"}')[:-1]
    position = data.draw(st.integers(0, len(line) - 1))
    damage = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (line[position], ord("\n"))))
    damaged = line[:position] + bytes([damage]) + line[position + 1 :]
    assert decode_record(damaged) in (None, decode_record(line))


@pytest.mark.parametrize("torn_bytes", [2, 30, 53])
def test_a_torn_end_is_skipped_and_counted(segment, torn_bytes):
    fill(segment, b'{"n":1}', b'{"n":2}')
    segment.close()
    with segment.path.open("r+b") as file:
        file.truncate(segment.size - torn_bytes)
    assert read_all(Segment.find(segment.path)) == ([b'{"n":1}'], 1)


def test_an_end_that_lacks_no_more_than_its_newline_is_read(segment):
    fill(segment, b'{"n":1}')
    with segment.path.open("r+b") as file:
        file.truncate(segment.size - 1)
    found = Segment.find(segment.path)
    assert read_all(found) == ([b'{"n":1}'], 0)
    assert found.records == 1


def test_a_damaged_record_does_not_take_its_neighbours_along(segment):
    fill(segment, b'{"n":1}', b'{"n":2}', b'{"n":3}')
    text = segment.path.read_bytes()
    segment.path.write_bytes(text.replace(b'{"n":2}', b'{"n":7}'))
    assert read_all(segment) == ([b'{"n":1}', b'{"n":3}'], 1)


def test_a_write_cut_short_by_the_disk_leaves_nothing(segment, monkeypatch):
    write = os.write
    fill(segment, b'{"n":1}')
    for cut in (40, 5, 1):
        monkeypatch.setattr("os.write", lambda file, data, cut=cut: write(file, data[:cut]))
        with pytest.raises(OSError, match="took"):
            fill(segment, b'{"n":"lost"}')
    monkeypatch.undo()
    fill(segment, b'{"n":2}')
    assert read_all(segment) == ([b'{"n":1}', b'{"n":2}'], 0)
    assert (segment.records, segment.size) == (2, segment.path.stat().st_size)


def test_a_reader_of_an_open_segment_waits_for_the_end_of_a_record(segment):
    fill(segment, b'{"n":1}')
    whole = segment.size
    with segment.path.open("ab") as file:
        file.write(b"0123")
    span = segment.read(0, whole + 4)
    assert (span.end, span.corrupt_records) == (whole, 0)


def test_a_message_holds_a_bounded_number_of_records_and_bytes(segment):
    fill(segment, *[b"{}"] * (MAX_BATCH_RECORDS + 1))
    span = segment.read(0, segment.size)
    assert len(span.events[ACCOUNT.encode()]) == MAX_BATCH_RECORDS
    fill(segment, *[b"x" * 1_000] * 300)
    span = segment.read(span.end, segment.size)
    assert span.end - segment.size < 0
    assert MAX_BATCH_BYTES / 2 < sum(len(event) for event in span.events[ACCOUNT.encode()]) <= MAX_BATCH_BYTES


def test_an_event_larger_than_a_message_travels_alone(segment):
    large = b'"%b"' % (b"x" * 3 * MAX_BATCH_BYTES)
    fill(segment, large, b"{}")
    span = segment.read(0, segment.size)
    assert span.events == {ACCOUNT.encode(): [large]}
    assert segment.read(span.end, segment.size).events == {ACCOUNT.encode(): [b"{}"]}


def test_client_accounts_are_kept_apart(segment):
    other = ACCOUNT.replace("1", "2")
    fill(segment, b"1")
    fill(segment, b"2", account=other)
    fill(segment, b"3")
    assert segment.read(0, segment.size).events == {ACCOUNT.encode(): [b"1", b"3"], other.encode(): [b"2"]}


def test_a_segment_found_again_knows_its_lane_its_records_and_its_age(tmp_path):
    segment = Segment.create(tmp_path, "vital")
    fill(segment, b"1", b"2")
    found = Segment.find(segment.path)
    assert (found.lane, found.records, found.size, found.is_open) == ("vital", 2, segment.size, False)
    assert 0 <= found.age_s < 60
    assert Segment.create(tmp_path, "vital").path.name > segment.path.name
    assert time.time() - found.age_s > 0
