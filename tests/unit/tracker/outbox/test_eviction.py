import errno
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from masterflow.domain.event_text import event_text
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ErrorOccurred,
    Event,
    FlowDeclared,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    new_event,
    parse_event,
)
from masterflow.domain.records.phase_text import Moment
from masterflow.domain.records.phases import PhaseBegan, PhaseEnded
from masterflow.tracker.outbox.segments import segments_in
from tests.support.events.outboxes import Process
from tests.support.events.reported import CONTEXT, FLOW_ID
from tests.support.model.statuses import Status, status_after

_FULL_BYTES = 60_000
_DETAILS: list[tuple[type[Event], dict[str, Any]]] = [
    (AgentCollaborated, {"entry": {"agent": "a", "text": "x" * 200}}),
    (PhaseTimed, {"phase": "import", "execution_time_ms": 5}),
    (MemoryMeasured, {"metrics": {"peak": 1}}),
    (AgentPerformanceMeasured, {"metrics": {"a": {"calls": 1}}}),
    (MetadataUpdated, {"updates": {"k": 1}}),
    (ProgressReported, {"snapshot": {"progress": 1}}),
    (FlowRetried, {}),
]


@pytest.fixture(params=["outbox", "disk"])
def process(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    """An outbox that is full at 60 KB, by its own bound or because the disk is."""
    if request.param == "outbox":
        return Process(tmp_path / "spool", max_bytes=_FULL_BYTES, segment_bytes=8_000)
    process = Process(tmp_path / "spool", segment_bytes=8_000)
    write = os.pwrite

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        used = sum(path.stat().st_size for path in segments_in(process.outbox.folder))
        grown = at + len(data) - os.fstat(descriptor).st_size
        if grown > 0 and used + grown > _FULL_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data, at)

    monkeypatch.setattr("os.pwrite", pwrite)
    return process


def report(process: Process, kind: type[Event], flow: int, **fields: Any) -> None:
    process.outbox.append(kind.lane, event_text(kind, CONTEXT, UUID(int=flow), **fields))


def kept(process: Process) -> list[dict[str, Any]]:
    """Return what waits in the files, each lane in its order."""
    paths = segments_in(process.outbox.folder)
    return [json.loads(line[9:]) for path in paths for line in path.read_bytes().splitlines()]


def kinds(process: Process) -> Counter[str]:
    return Counter(event["kind"] for event in kept(process))


def flows_with(process: Process, kind: str, **fields: Any) -> set[int]:
    return {
        UUID(event["flow_id"]).int
        for event in kept(process)
        if event["kind"] == kind and all(event[name] == value for name, value in fields.items())
    }


def run_flow(process: Process, flow: int) -> None:
    """Report what a flow of two phases reports."""
    report(process, FlowDeclared, flow, flow_type="discovery")
    report(process, StatusChanged, flow, status="processing")
    for phase in ("import", "mapping"):
        report(process, PhaseTransitioned, flow, phase=phase, status="processing")
        report(process, PhaseTransitioned, flow, phase=phase, status="completed")
    report(process, StatusChanged, flow, status="completed")


def test_details_of_every_kind_go_before_anything_else(process):
    number = 0
    while not process.losses.counts():
        kind, fields = _DETAILS[number % len(_DETAILS)]
        report(process, kind, number, **fields)
        number += 1
    for flow in range(15):
        run_flow(process, flow)
        report(process, ErrorOccurred, flow, phase="import", error="boom")
    vital = [event for event in kept(process) if event["kind"] in ("status_changed", "error_occurred")]
    assert len(vital) == 15 * 3
    assert kinds(process)["phase_transitioned"] == 15 * 4
    assert process.losses.counts().keys() == {"overflow_detail"}
    assert process.check_numbers(number + 15 * 8)["lost"] > 0


def test_what_is_superseded_goes_next_and_every_flow_keeps_its_newest_status_and_its_errors(process):
    for flow in range(60):
        run_flow(process, flow)
        if flow % 10 == 0:
            report(process, ErrorOccurred, flow, phase="import", error="boom")
    assert process.losses.counts().keys() == {"overflow_vital"}
    assert flows_with(process, "status_changed", status="completed") == set(range(60))
    assert flows_with(process, "error_occurred") == set(range(0, 60, 10))
    assert flows_with(process, "flow_declared") == set(range(60))
    counts = kinds(process)
    assert counts["status_changed"] < 90
    assert counts["phase_transitioned"] < 60 * 4
    process.check_numbers(60 * 7 + 6)


def test_a_phase_goes_when_a_newer_one_replaces_it_unless_it_says_the_newest_status(process):
    moment = Moment("processing", False, None, None, "")
    for flow in range(30):
        report(
            process, PhaseBegan, flow, phase="import", metadata={}, moment=moment._replace(is_status_new=True)
        )
    for number in range(200):
        fields = {"phase": "mapping", "metadata": {}, "moment": moment}
        report(process, PhaseBegan, 100 + number % 3, **fields)
        report(process, PhaseEnded, 100 + number % 3, status="completed", execution_time_ms=1.0, **fields)
    assert process.losses.counts().keys() == {"overflow_vital"}
    assert flows_with(process, "phase_began", phase="import") == set(range(30))
    assert flows_with(process, "phase_ended", phase="mapping") == {100, 101, 102}
    assert kinds(process).total() < 200
    process.check_numbers(430)


def test_errors_go_last_and_never_the_newest_status_of_a_flow(process):
    for flow in range(90):
        report(process, ErrorOccurred, flow, phase="import", error="boom")
        report(process, StatusChanged, flow, status="processing")
    for flow in range(90):
        report(process, StatusChanged, flow, status="failed")
    statuses = Counter(event["status"] for event in kept(process) if event["kind"] == "status_changed")
    assert flows_with(process, "status_changed", status="failed") == set(range(90))
    # What a later segment replaces goes before the errors.
    assert statuses["processing"] < 45
    errors = flows_with(process, "error_occurred")
    assert len(errors) > 30
    assert errors == set(range(90 - len(errors), 90))
    process.check_numbers(270)


def test_a_new_error_is_lost_only_where_nothing_but_newest_statuses_is_left(process):
    for flow in range(200):
        report(process, StatusChanged, flow, status="processing")
    report(process, ErrorOccurred, 1, phase="import", error="boom")
    counts = process.losses.counts()
    lost = 201 - len(kept(process))
    assert counts.total() == lost
    assert kinds(process).keys() == {"status_changed"}
    assert flows_with(process, "status_changed") == set(range(201 - lost))
    process.check_numbers(201)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_left_of_a_flow_says_the_same_of_its_status(tmp_path, seed):
    random = Random(seed)
    process = Process(tmp_path / "spool", max_bytes=40_000, segment_bytes=6_000)
    events: list[AnyEvent] = []
    words = [
        "processing",
        "paused",
        "failed",
        *random.choice(([], ["completed"], ["cancelled", "completed"])),
    ]
    for _ in range(400):
        flow_id, reopens = UUID(int=random.randrange(6)), random.random() < 0.2
        event = new_event(StatusChanged, CONTEXT, flow_id, status=random.choice(words), reopens=reopens)
        events.append(event)
        process.outbox.append("vital", event.model_dump_json().encode())
    left = [parse_event(event) for event in kept(process)]
    assert len(left) < 150
    for flow in range(6):
        assert status_of(left, flow) == status_of(events, flow)


def status_of(events: Sequence[AnyEvent], flow: int) -> str:
    in_order = sorted((event for event in events if event.flow_id.int == flow), key=lambda event: event.stamp)
    return status_after(Status("initialized", {}, changed="", since=""), in_order).shown


@pytest.mark.parametrize("count", [1, 500])
def test_many_client_accounts_take_few_messages_each_in_order_and_are_read_once(tmp_path, monkeypatch, count):
    process = Process(tmp_path / "spool", segment_bytes=1_000_000)
    accounts = [
        CONTEXT.model_copy(update={"client_account_id": UUID(int=number + 1)}) for number in range(count)
    ]
    for number in range(3_000):
        fields = {"metrics": {"number": number}}
        process.outbox.append(
            "detail", event_text(MemoryMeasured, accounts[number % count], FLOW_ID, **fields)
        )
    size = process.outbox.pending()["pending_bytes"]
    reads: list[int] = []
    pread = os.pread

    def read(descriptor: int, length: int, at: int) -> bytes:
        reads.append(length)
        return pread(descriptor, length, at)

    monkeypatch.setattr("os.pread", read)
    batches = process.send()
    numbers: dict[str, list[int]] = {}
    for batch in batches:
        found = [event["metrics"]["number"] for event in json.loads(batch.events)]
        numbers.setdefault(batch.client_account_id, []).extend(found)
    assert list(numbers.values()) == [list(range(number, 3_000, count)) for number in range(count)]
    # One message takes up to 500 events; what waits of many accounts is cut at 4 MB.
    assert (
        max(Counter(batch.client_account_id for batch in batches).values())
        <= max(3_000 // count // 500, 1) + 1
    )
    assert sum(reads) < 2 * size + 256_000
    assert len(reads) <= 12
    assert process.confirm(*batches) == len(batches)
    process.check_numbers(3_000)


def test_a_detail_for_which_there_is_no_room_costs_nothing_that_goes_last(tmp_path: Path) -> None:
    process = Process(tmp_path / "spool", max_bytes=2_000)
    line = event_text(ErrorOccurred, CONTEXT, FLOW_ID, phase="import", error="timeout")
    while process.outbox._fits(len(line) + 10):
        process.outbox.append("vital", line)
    process.say("x" * 900)
    assert process.losses.counts() == {"overflow_detail": 1}


def test_what_is_left_out_between_a_look_and_the_reading_does_not_cut_a_record_in_two(tmp_path: Path) -> None:
    process = Process(tmp_path / "spool", max_bytes=6_000, segment_bytes=64_000)
    for number in range(5):
        report(process, StatusChanged, 1, status="processing", metadata={"n": "x" * number})
    [(segment, size)] = unread = process.outbox.unread()
    for number in range(30):
        report(process, ErrorOccurred, 2, phase="import", error="y" * number)
    assert segment.rewrites
    assert segment.size > size

    process.window.take(unread)
    sent = process.send()

    waits = [json.loads(line[9:])["event_id"] for line in segment.path.read_bytes().splitlines()]
    assert [event["event_id"] for batch in sent for event in json.loads(batch.events)] == waits
    assert process.losses.counts()["corrupt"] == 0
