import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow import tracker
from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.event_text import event_text
from masterflow.domain.events import (
    AgentCollaborated,
    CountedEvent,
    ErrorOccurred,
    Event,
    FlowRetried,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    UsageReported,
    new_event,
    parse_event,
)
from masterflow.domain.usage.amounts import Usage
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.outbox.segments import Segment
from tests.support.events.strategies import FIELDS

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id='Ann "ß"')
FLOW_ID = UUID(int=3)


class Wordless:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.fixture
def spool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A spool whose events are never sent."""
    tracker.shutdown(0)
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setattr("masterflow.tracker.outbox.delivery.Delivery.start", lambda self: None)
    monkeypatch.setattr(process_delivery, "losses", Losses())
    monkeypatch.setattr(process_delivery, "_reopen_at", 0.0)
    yield tmp_path / "spool"
    tracker.shutdown(0)


def segments(spool: Path) -> list[Segment]:
    return [segment for segment in map(Segment.find, spool.glob("*/*.log")) if segment.size]


def events_of(segment: Segment) -> list[Event]:
    events = segment.read(0, segment.size).events
    return [parse_event(json.loads(text)) for texts in events.values() for text in texts]


def reported(spool: Path) -> list[Event]:
    return [event for segment in segments(spool) for event in events_of(segment)]


def test_a_report_is_an_event_in_the_spool(spool):
    tracker.report(PhaseTimed, CONTEXT, FLOW_ID, phase="data_import", execution_time_ms=12.5)
    [event] = reported(spool)
    assert isinstance(event, PhaseTimed)
    assert (event.flow_id, event.client_account_id, event.user_id) == (FLOW_ID, UUID(int=1), 'Ann "ß"')
    assert (event.phase, event.execution_time_ms) == ("data_import", 12.5)


def test_status_transitions_and_errors_are_in_the_lane_that_is_dropped_last(spool):
    tracker.report(StatusChanged, CONTEXT, FLOW_ID, status="processing")
    tracker.report(PhaseTransitioned, CONTEXT, FLOW_ID, phase="data_import", status="processing")
    tracker.report(ErrorOccurred, CONTEXT, FLOW_ID, phase="data_import", error="boom")
    tracker.report(ProgressReported, CONTEXT, FLOW_ID, snapshot={})
    tracker.report(AgentCollaborated, CONTEXT, FLOW_ID, entry={})
    lanes = {
        segment.lane: {type(event).__name__ for event in events_of(segment)} for segment in segments(spool)
    }
    assert lanes == {
        "vital": {"StatusChanged", "PhaseTransitioned", "ErrorOccurred"},
        "detail": {"ProgressReported", "AgentCollaborated"},
    }


@given(st.data())
def test_the_text_of_a_report_is_the_json_of_its_event(data):
    kind = data.draw(st.sampled_from(list(FIELDS)))
    fields = {name: data.draw(strategy) for name, strategy in FIELDS[kind].items()}
    if kind is UsageReported:
        fields["used"] = data.draw(st.builds(Usage, *[st.integers(1, 10**6)] * 5))
    text = event_text(kind, CONTEXT, FLOW_ID, **fields)
    read = parse_event(json.loads(text))
    if isinstance(read, CountedEvent | UsageReported):
        fields["counted"] = read.counted
    event = new_event(kind, CONTEXT, FLOW_ID, event_id=read.event_id, occurred_at=read.occurred_at, **fields)
    assert read == event
    assert json.loads(event.model_dump_json()).keys() == json.loads(text).keys()


def test_the_text_of_a_report_that_says_when_keeps_its_time():
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    entry = {"timestamp": "2026-11-01T12:00:00"}
    for text in (
        event_text(FlowRetried, CONTEXT, FLOW_ID, occurred_at=at),
        event_text(AgentCollaborated, CONTEXT, FLOW_ID, entry=entry),
    ):
        assert parse_event(json.loads(text)).occurred_at == at


def test_the_times_of_a_process_increase_whatever_its_clock_does(monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 0)
    texts = [json.loads(event_text(FlowRetried, CONTEXT, FLOW_ID)) for _ in range(3)]
    times = [text["occurred_at"] for text in texts]
    assert times == sorted(set(times))


NONSENSE: list[tuple[Any, Any, Any, dict[str, Any]]] = [
    (PhaseTimed, CONTEXT, FLOW_ID, {"phase": "data_import", "execution_time_ms": "soon"}),
    (PhaseTimed, CONTEXT, FLOW_ID, {"phase": "data_import"}),
    (FlowRetried, CONTEXT, FLOW_ID, {"unknown": 1}),
    (FlowRetried, CONTEXT, " ", {}),
    (FlowRetried, CONTEXT, None, {}),
    (FlowRetried, CONTEXT, FLOW_ID, {"event_id": "no id"}),
    (FlowRetried, CONTEXT, FLOW_ID, {"occurred_at": datetime(2026, 1, 1)}),  # noqa: DTZ001
    (FlowRetried, None, FLOW_ID, {}),
    (FlowRetried, {"client_account_id": "1"}, FLOW_ID, {}),
    (StatusChanged, CONTEXT, FLOW_ID, {"status": "unheard of"}),
    (MetadataUpdated, CONTEXT, FLOW_ID, {"updates": {"_enrichment": {}}}),
    (str, CONTEXT, FLOW_ID, {}),
    (None, CONTEXT, FLOW_ID, {}),
    (Wordless(), CONTEXT, FLOW_ID, {}),
]


@pytest.mark.parametrize(("kind", "context", "flow_id", "fields"), NONSENSE)
def test_nonsense_is_logged_in_one_line_and_counted_and_never_raised(
    spool, caplog, kind, context, flow_id, fields
):
    with caplog.at_level(logging.WARNING):
        tracker.report(kind, context, flow_id, **fields)
    [record] = caplog.records
    assert "Lost 1 events so far (invalid): A report of " in record.message
    assert "\n" not in record.message
    assert tracker.outbox_status()["lost"] == {"invalid": 1}
    assert reported(spool) == []


@pytest.mark.parametrize(("kind", "context", "flow_id", "fields"), NONSENSE)
def test_nonsense_raises_when_the_user_wants_it_to(spool, monkeypatch, kind, context, flow_id, fields):
    monkeypatch.setenv("ENRICHMENT_STRICT", "true")
    with pytest.raises(InputInvalid):
        tracker.report(kind, context, flow_id, **fields)


def test_a_payload_that_is_no_json_is_made_one(spool):
    tracker.report(AgentCollaborated, CONTEXT, FLOW_ID, entry={"thing": Wordless(), "list": {1, 2}})
    [event] = reported(spool)
    assert isinstance(event, AgentCollaborated)
    assert event.entry["list"] == [1, 2]


def test_an_interrupt_passes_through_a_hook(spool):
    class Interrupting:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tracker.report(ErrorOccurred, CONTEXT, FLOW_ID, phase="data_import", error=Interrupting())


def test_a_spool_that_cannot_be_written_costs_events_but_no_flow(spool, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "file" / "spool"))
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            tracker.report(FlowRetried, CONTEXT, FLOW_ID)
    assert len(caplog.records) == 1
    assert tracker.outbox_status()["lost"] == {"disk": 50}


def test_a_spool_that_can_be_written_again_takes_events_again(spool, tmp_path, monkeypatch):
    (tmp_path / "spool").touch()
    tracker.report(FlowRetried, CONTEXT, FLOW_ID)
    (tmp_path / "spool").unlink()
    tracker.report(FlowRetried, CONTEXT, FLOW_ID)
    assert tracker.outbox_status()["lost"] == {"disk": 2}
    monkeypatch.setattr(process_delivery, "_reopen_at", 0.0)
    tracker.report(FlowRetried, CONTEXT, FLOW_ID)
    assert len(reported(spool)) == 1


def test_malformed_settings_cost_events_but_no_flow(spool, monkeypatch, caplog):
    monkeypatch.setenv("ENRICHMENT_FSYNC", "sometimes")
    with caplog.at_level(logging.WARNING):
        tracker.report(FlowRetried, CONTEXT, FLOW_ID)
        tracker.report(FlowRetried, CONTEXT, "")
    assert "ENRICHMENT_FSYNC" in caplog.text
    assert tracker.outbox_status()["lost"] == {"settings": 1, "invalid": 1}


def test_a_report_after_a_shutdown_opens_a_new_outbox(spool):
    tracker.report(FlowRetried, CONTEXT, FLOW_ID)
    assert tracker.shutdown(0) is False
    tracker.report(FlowRetried, CONTEXT, FLOW_ID)
    assert len(reported(spool)) == 2


def test_a_flush_without_an_outbox_has_nothing_to_wait_for(spool):
    assert tracker.flush(0)
    assert tracker.shutdown(0)


def test_an_orchestrator_loads_neither_the_database_nor_the_web(tmp_path):
    program = "import sys, tracker; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    forbidden = {"repository", "sqlalchemy", "psycopg", "fastapi", "starlette", "uvicorn", "crewai"}
    assert forbidden.isdisjoint(done.stdout.split())
    assert {"celery", "pydantic"} <= set(done.stdout.split())
