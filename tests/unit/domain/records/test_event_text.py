import json
from datetime import UTC, datetime
from typing import Any
from uuid import RFC_4122, uuid4

import pytest

from masterflow.domain.clock import uuid7
from masterflow.domain.counting import Counted
from masterflow.domain.errors import InputInvalid
from masterflow.domain.event_text import event_text
from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    FlowRetried,
    PhaseTimed,
    PhaseTransitioned,
    StatusChanged,
    new_event,
    parse_event,
)
from tests.support.events.reported import CONTEXT, FLOW_ID

AT = datetime(2026, 11, 24, 9, 0, 0, 120, tzinfo=UTC)
EVENTS = [
    (PhaseTransitioned, {"phase": " data_import ", "status": "Processing", "metadata": {"rows": 5}}),
    (AgentCollaborated, {"entry": {"agent": "Mapper", "timestamp": "2020-01-01", "id": "theirs"}}),
    (ErrorOccurred, {"phase": "b", "error": "password=hunter2 broke", "details": {}}),
    (StatusChanged, {"status": "running", "metadata": {"progress_data": {"progress": 3}}}),
    (FlowRetried, {}),
    (FlowRetried, {"counted": Counted(by="abcdefgh", number=3)}),
    (PhaseTimed, {"phase": "a", "execution_time_ms": 3.5, "counted": Counted(by="abcdefgh", number=1)}),
]


def decoded(text):
    return parse_event(json.loads(text))


@pytest.mark.parametrize(("kind", "fields"), EVENTS)
def test_an_event_with_an_id_and_a_time_is_what_it_would_be_as_a_model(kind, fields):
    place: Any = {"event_id": uuid4(), "occurred_at": AT}
    assert decoded(event_text(kind, CONTEXT, FLOW_ID, **place, **fields)) == new_event(
        kind, CONTEXT, FLOW_ID, **place, **fields
    )


def test_what_is_malformed_is_named_there_too():
    with pytest.raises(InputInvalid, match="phase"):
        event_text(
            PhaseTimed, CONTEXT, FLOW_ID, event_id=uuid4(), occurred_at=AT, phase="", execution_time_ms=1
        )


@pytest.mark.parametrize(
    "kind", [PhaseTransitioned, PhaseTimed, AgentCollaborated, ErrorOccurred, FlowRetried]
)
def test_what_is_reported_often_is_written_without_its_model(monkeypatch, kind):
    def refused(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("masterflow.domain.event_text._own_fields", refused)
    fields: dict[Any, dict[str, Any]] = {
        PhaseTransitioned: {"phase": "a", "status": "processing"},
        PhaseTimed: {"phase": "a", "execution_time_ms": 3},
        AgentCollaborated: {"entry": {"agent": "a"}},
        ErrorOccurred: {"phase": "a", "error": "boom"},
        FlowRetried: {},
    }
    event = decoded(event_text(kind, CONTEXT, FLOW_ID, **fields[kind]))
    assert {name: getattr(event, name) for name in fields[kind]} == fields[kind]


def test_ids_are_of_version_7_and_differ_by_their_chance():
    ids = [uuid7(1_764_280_104_123_456) for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}
    assert {one.int >> 80 for one in ids} == {1_764_280_104_123}
    digits = list(zip(*(one.hex[13:] for one in ids), strict=True))
    assert [len(set(digit)) for digit in digits] == [16] * 3 + [4] + [16] * 15
