import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from masterflow.domain.backoff import Backoff
from masterflow.tasks.batch import Batch
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.segments import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Segment, encode_record
from masterflow.tracker.outbox.window import WINDOW_BATCHES, Parcel, Window
from tests.support.events.lines import ACCOUNT, event_line

OTHER = ACCOUNT.replace("1", "2")


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    return Segment.create(tmp_path, "detail")


@pytest.fixture
def losses() -> Losses:
    return Losses()


@pytest.fixture
def window(losses: Losses) -> Window:
    return Window(losses, confirm_timeout_s=30)


def fill(segment: Segment, *numbers: int, account: str = ACCOUNT) -> None:
    for number in numbers:
        segment.append(encode_record(event_line(number, account=account)))


def send(window: Window, segment: Segment, *, now: float, batches: int = 1) -> list[Parcel]:
    """Append, take and send one event at a time."""
    sent = []
    for number in range(batches):
        fill(segment, number)
        window.take([(segment, segment.size)])
        for parcel in window.due(now):
            window.note_sent(parcel, now)
            sent.append(parcel)
    return sent


def batches_due(window: Window) -> list[Batch]:
    batches = [window.batch(parcel, "me") for parcel in window.due(0)]
    return [batch for batch in batches if batch is not None]


def contents(batch: Batch) -> list[Any]:
    return [event["n"] for event in json.loads(batch.events)]


def due(window: Window, now: float) -> list[Parcel]:
    """Return what is repeated now, as if it were sent."""
    repeated = []
    for parcel in window.due(now):
        window.note_sent(parcel, now)
        repeated.append(parcel)
    return repeated


def test_a_batch_holds_the_events_of_one_client_account(window, segment):
    fill(segment, 1)
    fill(segment, 2, account=OTHER)
    fill(segment, 3)
    window.take([(segment, segment.size)])
    batches = batches_due(window)
    assert [(batch.client_account_id, contents(batch)) for batch in batches] == [
        (ACCOUNT, [1, 3]),
        (OTHER, [2]),
    ]
    assert len({batch.batch_id for batch in batches}) == 2
    assert {batch.sender_id for batch in batches} == {"me"}


def test_a_repeated_batch_is_the_same_and_is_read_from_the_file(window, segment):
    fill(segment, 1, 2, 3)
    window.take([(segment, segment.size)])
    [parcel] = window.due(0)
    first = window.batch(parcel, "me")
    window.note_sent(parcel, 0)
    assert parcel.events is None
    assert window.batch(parcel, "me") == first


def test_nothing_is_repeated_before_its_time(window, segment):
    [parcel] = send(window, segment, now=100)
    assert due(window, 129.9) == []
    assert due(window, 130) == [parcel]


def test_each_repetition_waits_twice_as_long_up_to_ten_minutes(window, segment):
    send(window, segment, now=0)
    times = [now for now in range(3_400) if due(window, now)]
    waits = [later - earlier for earlier, later in pairwise([0, *times])]
    assert waits == [30, 60, 120, 240, 480, 600, 600, 600, 600]


def test_while_nobody_confirms_only_the_oldest_is_repeated(window, segment):
    oldest, *_ = send(window, segment, now=0, batches=10)
    assert {parcel.batch_id for now in range(4_000) for parcel in due(window, now)} == {oldest.batch_id}


def test_once_a_repetition_is_confirmed_all_that_was_sent_before_it_has_a_timeout_left(window, segment):
    oldest, *others = send(window, segment, now=0, batches=10)
    assert due(window, 30) == [oldest]
    window.confirm([oldest.batch_id], 31, is_repetition=True)
    assert due(window, 60.9) == []
    assert due(window, 61) == others
    assert due(window, 61) == []


def test_a_backlog_that_workers_take_up_in_turn_is_never_repeated(window, segment):
    parcels = send(window, segment, now=0, batches=10)
    assert due(window, 1_000) == parcels[:1]
    for number, parcel in enumerate(parcels):
        now = 1_001 + 20 * number
        window.confirm([parcel.batch_id], now)
        assert due(window, now + 19.9) == []


def test_what_a_worker_passed_over_is_repeated_and_nothing_that_was_sent_later(window, segment):
    first, second, third, *later = send(window, segment, now=0, batches=5)
    window.confirm([third.batch_id], 100)
    assert due(window, 129.9) == []
    assert [parcel for parcel in due(window, 130) if parcel in later] == []
    assert {first.last_sending, second.last_sending} == {6, 7}


def test_a_worker_that_is_slower_than_its_neighbours_has_a_whole_timeout_from_then_on(window, segment):
    slow, quick = send(window, segment, now=0, batches=2)
    window.confirm([quick.batch_id], 500)
    assert due(window, 529.9) == []
    assert due(window, 530) == [slow]


def test_a_new_batch_goes_out_though_older_ones_wait(window, segment):
    send(window, segment, now=0)
    [new] = send(window, segment, now=1)
    assert new.sent_at == 1


def test_a_broker_that_comes_back_is_probed_with_the_oldest_at_once(window, segment):
    oldest, *_ = send(window, segment, now=0, batches=3)
    window.probe(1)
    assert due(window, 1) == [oldest]


def test_a_broker_that_comes_and_goes_is_not_filled_with_copies(window, segment):
    [batch] = send(window, segment, now=0)
    copies = 0
    for now in range(1, 3_600, 3):
        window.probe(now)
        copies += len(due(window, now))
    # An hour of one second down in three; each probe is followed by repetitions at doubled distances.
    assert copies < 50
    window.confirm([batch.batch_id], 3_600)
    [after] = send(window, segment, now=3_601)
    window.probe(3_602)
    assert due(window, 3_602) == [after]


def test_what_was_sent_into_a_failing_broker_does_not_lengthen_the_waits(window, segment):
    oldest, other = send(window, segment, now=0, batches=2)
    assert [now for now in range(300) if due(window, now)] == [30, 90, 210]
    window.probe(300)
    assert due(window, 300) == [oldest]
    assert [now for now in range(300, 400) if due(window, now)] == [330, 390]
    window.confirm([oldest.batch_id], 400)
    assert due(window, 429.9) == []
    assert due(window, 430) == [other]


def test_a_confirmed_batch_is_never_repeated_and_a_strange_confirmation_is_ignored(window, segment):
    [parcel] = send(window, segment, now=0)
    assert window.confirm(["strange", parcel.batch_id, parcel.batch_id], 1) == 1
    assert due(window, 10_000) == []
    assert segment.is_settled
    assert segment.pending_records == 0


def test_a_batch_that_failed_to_go_out_is_due_again_at_once(window, segment):
    fill(segment, 1)
    window.take([(segment, segment.size)])
    [first] = batches_due(window)
    [second] = batches_due(window)
    assert first == second


def test_a_dropped_segment_takes_its_batches_along(window, segment):
    parcels = send(window, segment, now=0, batches=3)
    segment.is_dropped = True
    assert [window.batch(parcel, "me") for parcel in parcels] == [None, None, None]
    assert len(window) == 0


def test_a_segment_that_vanished_costs_its_own_events_and_no_others(window, segment, losses, tmp_path):
    other = Segment.create(tmp_path, "vital")
    fill(segment, 1, 2)
    fill(other, 3)
    window.take([(segment, segment.size), (other, other.size)])
    [parcel] = window.due(0)
    window.note_sent(parcel, 0)
    fill(segment, 4, 5, 6)
    segment.close()
    segment.path.unlink()
    batch = window.batch(parcel, "me")
    assert batch is not None
    assert contents(batch) == [3]
    window.take([(segment, segment.size)])
    assert losses.counts() == {"disk": 2 + 3}
    assert segment.read_to == segment.size


def test_one_message_is_made_of_several_segments_up_to_its_bounds(window, tmp_path):
    segments = [Segment.create(tmp_path, "detail") for _ in range(4)]
    for segment in segments:
        fill(segment, *range(200))
    unread = [(segment, segment.size) for segment in segments]
    window.take(unread)
    assert [segment.read_to == segment.size for segment in segments] == [True, True, False, False]
    [batch] = batches_due(window)
    assert len(json.loads(batch.events)) == MAX_BATCH_RECORDS
    assert contents(batch) == [*range(200), *range(200), *range(100)]


def test_a_message_of_large_events_is_bounded_in_bytes(window, tmp_path):
    segments = [Segment.create(tmp_path, "detail") for _ in range(8)]
    for segment in segments:
        segment.append(encode_record(event_line("x" * (MAX_BATCH_BYTES // 3))))
    window.take([(segment, segment.size) for segment in segments])
    [batch] = batches_due(window)
    assert MAX_BATCH_BYTES / 2 < len(batch.events) < MAX_BATCH_BYTES * 1.5


def test_the_window_is_full_at_its_bound_and_holds_no_events(window, segment):
    parcels = send(window, segment, now=0, batches=WINDOW_BATCHES - 1)
    assert not window.is_full
    parcels += send(window, segment, now=0)
    assert window.is_full
    assert all(parcel.events is None for parcel in parcels)
    window.confirm([parcels[7].batch_id], 1)
    assert not window.is_full


def test_corrupt_records_are_counted_and_passed_over(window, segment, losses):
    fill(segment, 1)
    segment.close()
    with segment.path.open("ab") as file:
        file.write(b"torn")
    found = Segment.find(segment.path)
    for _ in range(2):
        window.take([(found, found.size)])
    assert found.read_to == found.size
    assert losses.counts() == {"corrupt": 1}
    assert len(window) == 1


def test_pauses_double_from_a_tenth_of_a_second_to_five_and_end_with_success(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    backoff, pauses = Backoff(), []
    for _ in range(9):
        backoff.note_failure()
        pauses.append(backoff.retry_at)
    for pause, longest in zip(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5], strict=True):
        assert longest / 2 <= pause <= longest
    assert backoff.is_failing
    assert backoff.note_success() is True
    assert backoff.note_success() is False
    assert backoff.retry_at == 0
