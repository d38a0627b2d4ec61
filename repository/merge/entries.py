"""The entries that events become in the lists of a row."""

import json

from pydantic import JsonValue

from masterflow.domain.events import (
    AnyEvent,
    ControlRequested,
    DeadlinePassed,
    ErrorOccurred,
    FlowLost,
    PhaseTransitioned,
    QuestionAsked,
    QuestionSettled,
)

JsonObject = dict[str, JsonValue]

# A question that is long in all its parts loses these, in this order, to stay within 4 KB.
_MOST_BYTES = 4_000
_SPARED = ("answer_schema", "default", "phase")


def entry_of(event: AnyEvent) -> JsonObject:
    """Return what every entry has: `{"id", "timestamp"}`."""
    return {"id": str(event.event_id), "timestamp": event.timestamp}


def transition(event: PhaseTransitioned) -> JsonObject:
    """Return an entry of `phase_transitions`."""
    return entry_of(event) | {"phase": event.phase, "status": event.status, "metadata": event.metadata}


def error(event: ErrorOccurred) -> JsonObject:
    """Return an entry of `error_history`."""
    return entry_of(event) | {"phase": event.phase, "error": event.error, "details": event.details}


def lost(event: FlowLost) -> JsonObject:
    """Return what stands under `flow_metadata.lost`."""
    return {
        "cause": event.cause,
        "holder": event.holder,
        "host": event.host,
        "last_sign_at": event.last_sign_at.isoformat(timespec="microseconds"),
        "phase": event.phase,
    }


def deadline(event: DeadlinePassed) -> JsonObject:
    """Return an entry of `flow_metadata.overdue`, whose time is the deadline; no phase is the whole flow."""
    started_at = event.started_at.isoformat(timespec="microseconds") if event.started_at else None
    return entry_of(event) | {
        "timestamp": event.deadline_at.isoformat(timespec="microseconds"),
        "phase": event.phase,
        "started_at": started_at,
    }


def control(event: ControlRequested | QuestionAsked | QuestionSettled) -> JsonObject:
    """Return an entry of `flow_metadata.control`; what an event leaves out is left out."""
    match event:
        case ControlRequested():
            said = _requested(event)
        case QuestionAsked():
            said = _asked(event)
        case QuestionSettled():
            said = {"kind": "settled", "question_id": str(event.question_id), "outcome": event.outcome}
            if event.request_id:
                said["request_id"] = str(event.request_id)
            if event.outcome == "answered":
                said["value"] = event.value
    return entry_of(event) | said


def _requested(event: ControlRequested) -> JsonObject:
    said: JsonObject = {"kind": event.action, "by": event.by}
    if event.reason:
        said["reason"] = event.reason
    if event.question_id:
        said["question_id"] = str(event.question_id)
    if event.action == "answer":
        said["answer"] = event.answer
    return said


def _asked(event: QuestionAsked) -> JsonObject:
    said: JsonObject = {"kind": "asked", "key": event.key, "question": event.question}
    if event.options:
        said["options"] = list(event.options)
    if event.answer_schema:
        said["answer_schema"] = event.answer_schema
    if event.expires_at:
        said["expires_at"] = event.expires_at.isoformat(timespec="microseconds")
    if event.has_default:
        said["default"] = event.default
    if event.phase:
        said["phase"] = event.phase
    for name in _SPARED:
        if len(json.dumps(said, ensure_ascii=False).encode()) <= _MOST_BYTES - 100:
            break
        said.pop(name, None)
    return said
