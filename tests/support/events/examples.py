"""One flow with an event of each kind, the same each time: what a recorded message holds."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    ControlRequested,
    DeadlinePassed,
    ErrorOccurred,
    FlowDeclared,
    FlowLost,
    FlowRetried,
    FlowSeen,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
    UsageReported,
    new_event,
)
from masterflow.domain.records.phases import PhaseBegan, PhaseEnded
from masterflow.domain.records.reading import AnyRecord
from masterflow.domain.tenant import flow_context
from masterflow.domain.usage.amounts import Usage

FLOW_ID: Final = UUID("7e9d1c62-40b8-4f35-8d21-c6a90b3e7f14")
CONTEXT: Final = flow_context(
    "0b1f6d3e-8a52-4c1c-9a34-5f2b7c1d9e10", "5d0c2a47-3e19-4b8f-b7a6-91e4d2c83f55", "ana"
)
_BEGIN: Final = datetime(2026, 11, 24, 9, tzinfo=UTC)

#: A new kind comes to the end, so that the others keep their ids and times.
_EXAMPLES: Final[list[tuple[type[Any], dict[str, Any]]]] = [
    (StatusChanged, {"status": "processing", "metadata": {"note": "begun"}}),
    (PhaseTransitioned, {"phase": "data_import", "status": "processing", "metadata": {"rows": 500}}),
    (ProgressReported, {"snapshot": {"current_phase": "data_import", "progress_percentage": 10}}),
    (AgentCollaborated, {"entry": {"agent": "Schema Expert", "action": "mapped 12 columns"}}),
    (
        ErrorOccurred,
        {"phase": "data_import", "error": "ValueError: row 17 has no hostname", "details": {"row": 17}},
    ),
    (FlowRetried, {"counted": {"by": "Zm9yIGFs", "number": 41}}),
    (MemoryMeasured, {"metrics": {"items": 42}}),
    (AgentPerformanceMeasured, {"metrics": {"Schema Expert": {"tasks": 3, "seconds": 1.5}}}),
    (MetadataUpdated, {"updates": {"owner": "migration team"}}),
    (
        PhaseTimed,
        {
            "phase": "data_import",
            "execution_time_ms": 1250.5,
            "counted": {"by": "Zm9yIGFs", "number": 41},
        },
    ),
    (PhaseTransitioned, {"phase": "data_import", "status": "completed", "metadata": {"rows": 497}}),
    (FlowDeclared, {"flow_type": "discovery", "flow_name": "Data centre 7"}),
    (
        UsageReported,
        {
            "agent": "Schema Expert",
            "model": "example-model",
            "used": Usage(1, 33, 21, 17_550, 0),
            "counted": {
                "by": "Zm9yIGFs",
                "agent": Usage(3, 99, 63, 52_650, 0),
                "flow": Usage(7, 300, 200, 1_000_000, 1),
            },
        },
    ),
    (PhaseBegan, {"phase": "field_mapping", "is_status_new": True, "progress": 60, "message": "mapping"}),
    (
        PhaseEnded,
        {
            "phase": "field_mapping",
            "status": "failed",
            "execution_time_ms": 41.25,
            "counted": {"by": "Zm9yIGFs", "number": 3},
            "metadata": {"error_type": "ValueError"},
            "progress": 60,
        },
    ),
    (
        QuestionAsked,
        {
            "key": "mapping",
            "question": "Is this mapping right?",
            "options": ["approve", "reject"],
            "answer_schema": {"enum": ["approve", "reject"]},
            "expires_at": _BEGIN + timedelta(hours=1),
            "has_default": True,
            "default": "reject",
            "phase": "field_mapping",
        },
    ),
    (
        ControlRequested,
        {
            "action": "answer",
            "by": "bo",
            "reason": "as agreed",
            "question_id": UUID("01935d2c-9c00-7000-8000-000000000010"),
            "answer": "approve",
        },
    ),
    (
        QuestionSettled,
        {
            "question_id": UUID("01935d2c-9c00-7000-8000-000000000010"),
            "outcome": "answered",
            "request_id": UUID("01935d2c-9c00-7000-8000-000000000011"),
            "value": "approve",
        },
    ),
    (ControlRequested, {"action": "cancel", "by": "bo", "reason": "the wrong file"}),
    (
        DeadlinePassed,
        {
            "phase": "field_mapping",
            "deadline_at": _BEGIN + timedelta(seconds=20),
            "started_at": _BEGIN + timedelta(seconds=16),
        },
    ),
    (
        FlowLost,
        {
            "cause": "witnessed",
            "holder": "host-1234",
            "host": "host",
            "last_sign_at": _BEGIN + timedelta(seconds=21),
            "phase": "field_mapping",
        },
    ),
    (FlowSeen, {"holder": "host-1234"}),
]


def example_id(number: int) -> UUID:
    return UUID(f"01935d2c-9c00-7000-8000-{number:012x}")


def example_events() -> list[AnyRecord]:
    """Return them in the order in which they happened."""
    return [
        new_event(
            kind,
            CONTEXT,
            FLOW_ID,
            event_id=example_id(number),
            occurred_at=_BEGIN + timedelta(seconds=number),
            **fields,
        )
        for number, (kind, fields) in enumerate(_EXAMPLES, start=1)
    ]
