"""Everything that can happen to a flow, one frozen model each, told apart by `kind`."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError

from masterflow.domain.clock import clock, parse_time, uuid7
from masterflow.domain.errors import InputInvalid
from masterflow.domain.events.control import (
    Action,
    ControlRequested,
    Outcome,
    QuestionAsked,
    QuestionSettled,
    question_id,
)
from masterflow.domain.events.event import SCHEMA_VERSION, CountedEvent, Event, Lane
from masterflow.domain.events.life import DeadlinePassed, FlowLost, FlowSeen, LostCause, deadline_id
from masterflow.domain.events.reports import (
    CONTROL_KEY,
    LOST_KEY,
    OVERDUE_KEY,
    PROGRESS_KEY,
    RESERVED_METADATA_KEYS,
    USAGE_KEY,
    AgentCollaborated,
    AgentPerformanceMeasured,
    ErrorOccurred,
    FlowDeclared,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    UsageReported,
)
from masterflow.domain.ids import flow_uuid
from masterflow.domain.tenant import FlowContext

__all__ = [
    "CONTROL_KEY",
    "LOST_KEY",
    "OVERDUE_KEY",
    "PROGRESS_KEY",
    "RESERVED_METADATA_KEYS",
    "SCHEMA_VERSION",
    "USAGE_KEY",
    "Action",
    "AgentCollaborated",
    "AgentPerformanceMeasured",
    "AnyEvent",
    "ControlRequested",
    "CountedEvent",
    "DeadlinePassed",
    "ErrorOccurred",
    "Event",
    "EventType",
    "FlowDeclared",
    "FlowLost",
    "FlowRetried",
    "FlowSeen",
    "Lane",
    "LostCause",
    "MemoryMeasured",
    "MetadataUpdated",
    "Outcome",
    "PhaseTimed",
    "PhaseTransitioned",
    "ProgressReported",
    "QuestionAsked",
    "QuestionSettled",
    "StatusChanged",
    "UsageReported",
    "deadline_id",
    "describe",
    "new_event",
    "parse_event",
    "question_id",
]

AnyEvent = Annotated[
    PhaseTransitioned
    | PhaseTimed
    | AgentCollaborated
    | MemoryMeasured
    | AgentPerformanceMeasured
    | ErrorOccurred
    | FlowRetried
    | MetadataUpdated
    | StatusChanged
    | ProgressReported
    | FlowDeclared
    | UsageReported
    | FlowLost
    | FlowSeen
    | DeadlinePassed
    | ControlRequested
    | QuestionAsked
    | QuestionSettled,
    Field(discriminator="kind"),
]

_any_event: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


EventType = TypeVar("EventType", bound=Event)


def new_event(
    kind: type[EventType],
    context: FlowContext,
    flow_id: UUID | str,
    *,
    event_id: UUID | str | None = None,
    occurred_at: datetime | None = None,
    **fields: Any,
) -> EventType:
    """Make the event of something that happens now, or happened at `occurred_at`.

    A collaboration entry that brings its own readable `timestamp` happened then.

    Raises:
        InputInvalid: an id or a field is malformed; the message names it.
    """
    entry = fields.get("entry")
    if occurred_at is None and isinstance(entry, Mapping) and "timestamp" in entry:
        occurred_at = parse_time(entry["timestamp"])
        if occurred_at is not None:
            fields["entry"] = {key: value for key, value in entry.items() if key != "timestamp"}
    flow = flow_uuid(flow_id)
    at = occurred_at if occurred_at is not None else clock.tick(flow)
    made_id = event_id if event_id is not None else uuid7(time.time_ns() // 1000)
    try:
        return kind(event_id=made_id, flow_id=flow, occurred_at=at, **context.__dict__, **fields)
    except (ValidationError, TypeError) as error:
        raise InputInvalid(describe(error)) from error


def parse_event(fields: object) -> AnyEvent:
    """Return the event that a decoded message holds.

    Raises:
        InputInvalid: it is no event of a known kind and version; the message names what is wrong.
    """
    try:
        return _any_event.validate_python(fields)
    except (ValidationError, RecursionError) as error:
        raise InputInvalid(describe(error)) from error


def describe(error: Exception) -> str:
    """Return one sentence that names the fields at fault, without quoting their values."""
    if not isinstance(error, ValidationError):
        return f"The event is malformed: {error!s:.200}."
    problems = [
        f"{'.'.join(str(part) for part in item['loc']) or 'event'}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return f"The event is malformed: {'; '.join(problems)[:500]}."
