"""What people ask of a flow, and what a flow asks of people."""

from typing import ClassVar, Literal
from uuid import UUID, uuid5

from masterflow.domain.events.event import Event, Lane
from masterflow.domain.payload.answers import (
    Answer,
    AnswerSchema,
    Default,
    Options,
    QuestionText,
    Reason,
    ShortName,
)
from masterflow.domain.payload.fields import Phase, UtcTime

#: What may be asked of a flow.
Action = Literal["cancel", "pause", "resume", "answer", "fail"]

#: How a question ends: somebody answered, nobody did in time, or the flow needs no answer any more. `refused`
#: ends it not: the answer of that request did not have the form that the process needs, so it counts no more.
Outcome = Literal["answered", "timed_out", "withdrawn", "refused"]


def question_id(flow_id: UUID, key: str, round_number: int) -> UUID:
    """Return the id of a question that was asked to its end so often before, 0 times at first."""
    return uuid5(flow_id, f"question:{key}:{round_number}")


class ControlRequested(Event):
    """Somebody asked something of the flow; the event's id is the request's, so it counts once."""

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["control_requested"] = "control_requested"
    action: Action
    by: ShortName
    reason: Reason | None = None
    #: What an answer answers.
    question_id: UUID | None = None
    answer: Answer = None


class QuestionAsked(Event):
    """The flow asks a human and waits; the event's id is the question's, also after a restart."""

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["question_asked"] = "question_asked"
    key: ShortName
    question: QuestionText
    options: Options = ()
    #: The JSON schema of an answer; left out where it is long, for the process validates anyway.
    answer_schema: AnswerSchema = None
    expires_at: UtcTime | None = None
    has_default: bool = False
    default: Default = None
    phase: Phase | None = None


class QuestionSettled(Event):
    """The process took an answer, or gave up waiting for one."""

    lane: ClassVar[Lane] = "vital"
    is_enrichment: ClassVar[bool] = False

    kind: Literal["question_settled"] = "question_settled"
    question_id: UUID
    outcome: Outcome
    #: The request whose answer the process took.
    request_id: UUID | None = None
    value: Answer = None
