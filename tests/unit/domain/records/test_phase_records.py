import json
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from masterflow.domain.errors import InputInvalid
from masterflow.domain.event_text import event_text
from masterflow.domain.events import (
    AnyEvent,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    parse_event,
)
from masterflow.domain.records.phase_text import Moment
from masterflow.domain.records.phases import PhaseBegan, PhaseEnded
from masterflow.domain.records.reading import read_events
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.tasks.inbox.admission import Door, admit_batch
from masterflow.tasks.settings import QueueSettings
from tests.support.events.reported import CONTEXT, FLOW_ID
from tests.support.events.strategies import FIELDS

NOTHING_NEW = Moment("processing", False, None, None, "")
_PHASES = FIELDS[PhaseTransitioned]["phase"]
_OBJECTS = FIELDS[PhaseTransitioned]["metadata"]
_MOMENTS = st.builds(
    Moment,
    st.one_of(st.none(), st.sampled_from(FLOW_STATUSES)),
    st.booleans(),
    st.one_of(st.none(), _PHASES),
    st.one_of(st.none(), st.integers(0, 100), st.floats(0, 100)),
    st.one_of(st.just(""), st.text(max_size=3_000)),
)
_ENDS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["completed", "failed", "cancelled", " Odd "]),
        "execution_time_ms": st.one_of(st.none(), st.floats(0, 1e9)),
    }
)


def told(kind: Any, **fields: Any) -> Any:
    fields = {"phase": "data_import", "metadata": {}, "moment": NOTHING_NEW} | fields
    return json.loads(event_text(kind, CONTEXT, FLOW_ID, **fields))


def ended(**fields: Any) -> Any:
    return told(PhaseEnded, **({"status": "completed", "execution_time_ms": 12.5} | fields))


def of(kind: type[Any], events: tuple[AnyEvent, ...]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_the_begin_of_a_phase_says_its_transition_a_new_status_and_the_snapshot():
    record = told(
        PhaseBegan,
        moment=Moment("processing", True, "data_import", 10, "reading"),
        metadata={"trace_id": "a"},
    )
    events = read_events(record)
    assert [event.kind for event in events] == ["phase_transitioned", "status_changed", "progress_reported"]
    [transition], [status], [progress] = (
        of(kind, events) for kind in (PhaseTransitioned, StatusChanged, ProgressReported)
    )
    assert (transition.phase, transition.status) == ("data_import", "processing")
    assert transition.metadata == {"message": "reading", "trace_id": "a"}
    assert (status.status, status.reopens) == ("processing", False)
    assert status.metadata == {"is_processing": True, "awaiting_user_approval": False}
    at = transition.timestamp
    assert progress.snapshot == {
        "phase": "data_import",
        "current_phase": "data_import",
        "progress": 10,
        "progress_percentage": 10,
        "status": "processing",
        "workflow_status": "processing",
        "is_processing": True,
        "awaiting_user_input": False,
        "awaiting_user_approval": False,
        "message": "reading",
        "status_message": "reading",
        "timestamp": at,
        "last_updated": at,
    }


def test_the_end_of_a_phase_says_its_transition_its_time_and_the_snapshot():
    events = read_events(ended(metadata={"rows": 5}, moment=Moment("paused", True, "mapping", None, "")))
    assert [event.kind for event in events] == [
        "phase_transitioned", "phase_timed", "status_changed", "progress_reported",
    ]  # fmt: skip
    assert of(PhaseTransitioned, events)[0].metadata == {"execution_time_ms": 12.5, "rows": 5}
    timed = of(PhaseTimed, events)[0]
    assert (timed.phase, timed.execution_time_ms) == ("data_import", 12.5)
    assert of(StatusChanged, events)[0].status == "paused"
    snapshot = of(ProgressReported, events)[0].snapshot
    assert (snapshot["phase"], snapshot["current_phase"]) == ("data_import", "mapping")
    assert (snapshot["status"], snapshot["workflow_status"]) == ("completed", "paused")
    assert snapshot["awaiting_user_input"]
    assert "progress" not in snapshot


@pytest.mark.parametrize(
    ("fields", "says_time"), [({"status": "cancelled"}, True), ({"execution_time_ms": None}, False)]
)
def test_what_was_cancelled_or_has_no_known_time_is_not_timed(fields, says_time):
    events = read_events(ended(**fields))
    assert of(PhaseTimed, events) == []
    assert ("execution_time_ms" in of(PhaseTransitioned, events)[0].metadata) is says_time


def test_attempts_are_numbered_with_those_that_are_timed_by_themselves():
    flow = uuid4()
    fields: dict[str, Any] = {"phase": " data_import", "metadata": {}, "moment": NOTHING_NEW}
    texts = [
        event_text(PhaseEnded, CONTEXT, flow, status="failed", execution_time_ms=1.0, **fields),
        event_text(PhaseTimed, CONTEXT, flow, phase="data_import", execution_time_ms=1),
        event_text(PhaseEnded, CONTEXT, flow, status="cancelled", execution_time_ms=1.0, **fields),
        event_text(PhaseEnded, CONTEXT, flow, status="completed", execution_time_ms=1.0, **fields),
    ]
    timed = of(PhaseTimed, tuple(event for text in texts for event in read_events(json.loads(text))))
    assert [one.counted.number for one in timed] == [1, 2, 3]
    assert len({one.counted.by for one in timed}) == 1


def test_the_ids_of_the_parts_follow_from_that_of_the_record_whatever_it_is():
    for event_id in (uuid4(), UUID(int=0), UUID("019a3e1f-0000-1000-8000-0123456789ab")):
        events = read_events(
            ended(moment=NOTHING_NEW._replace(is_status_new=True)) | {"event_id": str(event_id)}
        )
        names = {"phase_timed": "time", "status_changed": "status", "progress_reported": "snapshot"}
        for event in events:
            name = names.get(event.kind)
            assert event.event_id == (uuid5(event_id, name) if name else event_id)
        assert len({event.event_id for event in events}) == 4
        assert len({event.occurred_at for event in events}) == 1


@given(_PHASES, _OBJECTS, _MOMENTS, st.one_of(st.none(), _ENDS))
def test_what_a_record_says_is_as_the_worker_reads_each_part_and_the_same_each_time(
    phase, metadata, moment, end
):
    record = told(
        PhaseEnded if end else PhaseBegan, phase=phase, metadata=metadata, moment=moment, **(end or {})
    )
    events = read_events(record)
    assert read_events(json.loads(json.dumps(record))) == events
    for event in events:
        assert parse_event(json.loads(event.model_dump_json())) == event
        assert set(event.model_dump()) == set(type(event).model_fields)


@given(_PHASES, _OBJECTS, _MOMENTS, _ENDS)
def test_a_record_is_read_as_it_would_be_written_by_its_model(phase, metadata, moment, end):
    record = told(PhaseEnded, phase=phase, metadata=metadata, moment=moment, **end)
    model = PhaseEnded.model_validate(record)
    assert PhaseEnded.model_validate(json.loads(model.model_dump_json())) == model
    assert list(model.parts()) == list(read_events(record))


@pytest.mark.parametrize("phase", ["", " ", "\0", 7, None])
def test_what_is_no_phase_is_named(phase):
    with pytest.raises(InputInvalid, match="phase"):
        told(PhaseBegan, phase=phase)


def test_a_phase_of_a_flow_takes_at_most_800_bytes_on_disk():
    context = CONTEXT.model_copy(update={"user_id": "ana"})
    moment = NOTHING_NEW._replace(current_phase="data_import", progress=10)
    fields: dict[str, Any] = {"phase": "data_import", "metadata": {}, "moment": moment}
    begin = event_text(PhaseBegan, context, FLOW_ID, **fields)
    end = event_text(PhaseEnded, context, FLOW_ID, status="completed", execution_time_ms=0.012, **fields)
    assert len(begin) + len(end) + 2 * 10 <= 800


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"engagement_id": "none"}, "invalid"),
        ({"client_account_id": str(uuid4())}, "tenant_mismatch"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, "clock_ahead"),
        ({"schema_version": 5}, "invalid"),
        ({"execution_time_ms": -1}, "invalid"),
    ],
)
def test_a_record_that_is_refused_is_set_aside_whole(change, reason):
    good, bad = ended(), ended(metadata={"rows": 5}) | change
    fields = {
        "batch_id": str(uuid4()),
        "sender_id": "s",
        "client_account_id": str(CONTEXT.client_account_id),
        "events": json.dumps([good, bad]),
    }
    # Without Redis every attempt is the first.
    with Redis(port=1) as nobody:
        admission = admit_batch("m", fields, Door(nobody, QueueSettings()))
    assert tuple(admission.events) == read_events(good)
    [refusal] = admission.refusals
    assert (refusal.error.reason, refusal.subject) == (reason, bad)
