"""Recorded streams of real flows through the fold: shuffled, doubled, cut, and delivered late."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from masterflow.bridges.crewai.fold import Fold, Report, Rules
from masterflow.bridges.crewai.records import Record, from_lines
from masterflow.domain.clock import from_microseconds
from masterflow.domain.events import new_event
from tests.support.events.flows import new_context
from tests.support.events.reference_model import row_after
from tests.support.pages import ROOT
from tests.support.rows.legacy import fresh_row

STREAMS = sorted(path.stem for path in (ROOT / "tests" / "recorded" / "crewai").glob("*.jsonl"))
CONTEXT = new_context()
EMPTY_ROW = fresh_row()


def recorded(stream: str) -> list[Record]:
    text = (ROOT / "tests" / "recorded" / "crewai" / f"{stream}.jsonl").read_text()
    return list(from_lines(text.splitlines(), CONTEXT))


def events_of(*batches: Iterable[Record], fold: Fold | None = None) -> list[Any]:
    """Return the events that a fold makes of records that come in these batches, a second apart."""
    fold = fold or Fold(Rules(), source="one process")
    told = []
    for now_s, batch in enumerate(batches):
        for record in batch:
            fold.take(record, float(now_s))
        told += fold.reports(float(now_s))
    told += fold.reports(float(len(batches)), is_final=True)
    return [
        new_event(
            one.kind, context, one.flow_id,
            event_id=one.event_id, occurred_at=from_microseconds(one.at), **one.fields,
        )
        for context, one in told
        if isinstance(one, Report)
    ]  # fmt: skip


def row_of(*batches: Iterable[Record]) -> dict[str, Any]:
    return row_after(EMPTY_ROW, events_of(*batches))


def transitions(row: dict[str, Any]) -> list[str]:
    return [f"{entry['phase']}:{entry['status']}" for entry in row["phase_transitions"]]


def shuffled(records: Sequence[Record], seed: int) -> list[Record]:
    mixed = list(records)
    random.Random(seed).shuffle(mixed)
    return mixed


ENDS = {
    "asked": ("completed", "ask:completed"),
    "crewed": ("completed", "map_it:completed"),
    "cycle": ("completed", "check:completed"),
    "failing": ("failed", "b:failed"),
    "failing-twice": ("failed", "b:failed"),
    "model-down": ("failed", "map_it:failed"),
    "nested": ("completed", "after:completed"),
    "parallel": ("completed", "join:completed"),
    "parallel-failing": ("failed", "y:cancelled"),
    "paused": ("waiting_for_approval", "propose:paused"),
    "resumed": ("completed", "apply:completed"),
    "sequence": ("completed", "b:completed"),
    "stopped": ("cancelled", "b:cancelled"),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_ends_as_its_flow_did(stream):
    row = row_of(recorded(stream))
    assert (row["flow_status"], transitions(row)[-1]) == ENDS[stream]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_that_is_shuffled_and_doubled_makes_the_identical_row(stream):
    records = recorded(stream)
    expected = row_of(records)
    for seed in range(20):
        assert row_of(shuffled(records * 2, seed)) == expected


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_that_another_process_folds_again_changes_nothing(stream):
    records = recorded(stream)
    again = events_of(records) + events_of(shuffled(records, 1))
    assert row_after(EMPTY_ROW, again) == row_of(records)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_that_is_cut_anywhere_makes_the_beginning_of_the_row(stream):
    records = recorded(stream)
    in_order = sorted(records, key=lambda record: record.at)
    whole = row_of(records)
    for end in range(len(in_order) + 1):
        row = row_of(in_order[:end])
        for column in ("phase_transitions", "error_history", "agent_collaboration_log"):
            assert row[column] == whole[column][: len(row[column])]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_that_comes_record_by_record_makes_the_identical_row(stream):
    records = sorted(recorded(stream), key=lambda record: record.at)
    assert row_of(*([record] for record in records)) == row_of(records)


@pytest.mark.parametrize("stream", STREAMS)
def test_ends_that_come_a_batch_before_their_starts_lose_nothing(stream):
    records = recorded(stream)
    starts = [record for record in records if record.kind.endswith("_started")]
    others = [record for record in records if not record.kind.endswith("_started")]
    assert transitions(row_of([*others, *starts])) == transitions(row_of(records))


def test_an_end_waits_a_second_for_its_start_and_not_for_ever():
    records = recorded("sequence")
    [start] = [one for one in records if one.kind == "flow_started"]
    fold = Fold(Rules(), source="one process")
    for record in records:
        if record is not start:
            fold.take(record, 0.0)
    assert fold.reports(0.9) == []
    assert fold.waits
    fold.take(start, 0.95)
    assert fold.reports(0.95) != []
    assert not fold.waits


def test_a_flow_of_nobody_is_counted_and_told_of_nowhere():
    records = recorded("sequence")
    nobodys = [
        Record(**{**_fields(one), "facts": {**one.facts, "context": None}})
        if one.kind == "flow_started"
        else one
        for one in records
    ]
    fold = Fold(Rules(), source="one process")
    assert events_of(nobodys, fold=fold) == []
    assert fold.ignored_flows == 1


def test_what_is_captured_before_its_tenant_is_known_waits_for_it():
    records = recorded("sequence")
    facts = {name: value for name, value in records[0].facts.items() if name != "context"}
    without = [Record(**{**_fields(records[0]), "facts": facts}), *records[1:]]
    fold = Fold(Rules(), source="one process")
    for record in without[:-1]:
        fold.take(record, 0.0)
    assert fold.reports(0.0) == []
    last = without[-1]
    fold.take(Record(**{**_fields(last), "facts": {**last.facts, "context": CONTEXT}}), 0.1)
    assert len(fold.reports(0.1)) > 5


def test_phases_may_have_other_names_and_progress_other_phases():
    renamed = Fold(Rules(names={"a": "data_import"}, counted=("data_import",)), source="one process")
    events = events_of(recorded("sequence"), fold=renamed)
    row = row_after(EMPTY_ROW, events)
    assert transitions(row)[:2] == ["data_import:processing", "data_import:completed"]


def test_an_older_crewai_whose_failing_flows_say_nothing_makes_the_same_row():
    records = recorded("failing")
    silent = [
        Record(**{**_fields(one), "facts": {**one.facts, "tells_failure": False}})
        if one.kind == "flow_started"
        else one
        for one in records
        if one.kind != "flow_failed"
    ]
    old, new = row_of(silent), row_of(records)
    assert old["flow_status"] == new["flow_status"] == "failed"
    assert transitions(old) == transitions(new)
    assert [entry["details"] for entry in old["error_history"]] == [
        entry["details"] for entry in new["error_history"]
    ]


def test_an_error_that_leaves_a_flow_in_a_flow_was_tried_once():
    failed = {"error": "it broke"}
    flow = Record("flow_started", "f", 1, sequence=1, facts={"flow_id": "outer", "context": CONTEXT})
    method = Record("method_execution_started", "m", 2, "f", sequence=2, facts={"method": "call"})
    inner = Record("flow_started", "i", 3, "m", sequence=3, facts={"flow_id": "inner"})
    work = Record("method_execution_started", "w", 4, "i", sequence=4, facts={"method": "work"})
    ends = [
        Record(f"{kind}_failed", f"end of {start}", at, None, start, at, failed)
        for at, (kind, start) in enumerate(
            [("method_execution", "w"), ("flow", "i"), ("method_execution", "m"), ("flow", "f")], 5
        )
    ]
    row = row_of([flow, method, inner, work, *ends])
    assert transitions(row)[-2:] == ["call/work:failed", "call:failed"]
    [entry] = row["error_history"]
    assert entry["phase"] == "call/work"
    assert entry["details"] == {"levels": ["method", "flow"], "outcome": "fatal"}


def test_methods_whose_long_names_differ_at_the_end_are_phases_of_their_own():
    long = "m" * 198
    flow = Record("flow_started", "f", 1, sequence=1, facts={"flow_id": "outer", "context": CONTEXT})
    records = [flow]
    for at, method in enumerate((f"{long}_1", f"{long}_2"), 1):
        start = Record("method_execution_started", method, 3 * at, "f", None, 3 * at, {"method": method})
        end = Record("method_execution_finished", f"end of {method}", 3 * at + 1, None, method, 3 * at + 1)
        records += [start, end]
    times = row_of(records)["phase_execution_times"]
    assert [time["attempts"] for time in times.values()] == [1, 1]


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__slots__}
