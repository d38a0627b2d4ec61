"""Requests, questions and the inbox, as the API shows them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from masterflow.domain.clock import from_microseconds
from masterflow.domain.control.questions import Question, questions
from masterflow.domain.control.refusals import refusal
from masterflow.domain.control.requests import Request, paused_by, pending_pause, requests
from masterflow.domain.events.control import Action
from masterflow.domain.json_shapes import as_map
from masterflow.domain.liveness import Liveness
from masterflow.repository.status.control import entries_of
from masterflow.status import examples
from masterflow.status.entry_texts import entry_text

_MESSAGE_CHARS: Final = 300

#: What is asked of a flow by a button of its own, rather than by answering one of its questions.
Button = Literal["cancel", "pause", "resume", "fail"]


class RequestView(BaseModel):
    """What somebody asked of a flow."""

    id: UUID
    action: Action
    by: str
    at: datetime
    reason: str | None = None
    #: What an answer answers.
    question_id: UUID | None = None


class QuestionView(BaseModel):
    """What a flow asks, and what became of it."""

    id: UUID
    key: str
    question: str
    #: The answer is one of them, if there are any.
    options: list[str]
    #: The JSON schema of the answer, where the flow wants a certain form.
    answer_schema: dict[str, JsonValue] | None = None
    phase: str | None = None
    asked_at: datetime
    #: Then the flow goes on without an answer, with the default if it has one.
    expires_at: datetime | None = None
    has_default: bool
    default: JsonValue = None
    state: Literal["open", "answered", "timed_out", "withdrawn"]
    answer: JsonValue = None
    answered_by: str | None = None
    answered_at: datetime | None = None


class WaitingFlow(BaseModel):
    """A flow that waits for somebody."""

    flow_id: UUID
    flow_type: str
    flow_name: str | None
    status: str
    current_phase: str | None
    user_id: str
    engagement_id: UUID
    #: Since when it waits.
    since: datetime
    #: What it says about that.
    message: str | None
    #: What it asks; none, where it only waits to go on.
    questions: list[QuestionView]
    #: Who asked it to pause, if it waits for that reason.
    paused: RequestView | None = None


class Inbox(BaseModel):
    """A page of the flows that wait, those that wait longest first; more with `?cursor=` of `next_cursor`."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.INBOX]})

    waiting: list[WaitingFlow]
    next_cursor: str | None = None


def request_views(row: Mapping[Any, Any]) -> list[RequestView]:
    """Return what was asked of the flow of a row that has `control`, the newest first."""
    return [_request_view(one) for one in requests(entries_of(row))][::-1]


def question_views(row: Mapping[Any, Any]) -> list[QuestionView]:
    """Return what the flow of a row that has `control` asked, the oldest first."""
    return [_question_view(one) for one in questions(entries_of(row))]


def possible_actions(row: Mapping[Any, Any], liveness: Liveness | None) -> list[Button]:
    """Return what may be asked of the flow of a row now, besides an answer."""
    entries, status = entries_of(row), str(row["flow_status"])
    buttons: tuple[Button, ...] = get_args(Button)
    return [
        action
        for action in buttons
        if refusal(action, status=status, liveness=liveness, entries=entries) is None
    ]


def waiting_flow(row: Mapping[Any, Any]) -> WaitingFlow | None:
    """Return what a flow waits for, from a row of list_inbox.sql; None if it waits for nobody any more."""
    entries, status = entries_of(row), str(row["flow_status"])
    all_asked = questions(entries)
    still_open = [one for one in all_asked if one.state == "open"]
    resumed = pending_pause(entries, status)
    is_answered = not still_open and any(one.waits_for_process for one in all_asked)
    is_waiting = status in ("paused", "waiting_for_approval")
    if not still_open and (not is_waiting or is_answered or (resumed and resumed.action == "resume")):
        return None
    snapshot = as_map(row["snapshot"])
    message = entry_text(snapshot.get("message") or snapshot.get("status_message"))[:_MESSAGE_CHARS]
    pause = paused_by(entries, status)
    return WaitingFlow(
        flow_id=row["flow_id"],
        flow_type=row["flow_type"],
        flow_name=row["flow_name"],
        status=status,
        current_phase=row["current_phase"],
        user_id=row["user_id"],
        engagement_id=row["engagement_id"],
        since=from_microseconds(row["since_us"]),
        message=message or None,
        questions=[_question_view(one) for one in still_open],
        paused=_request_view(pause) if pause else None,
    )


def _request_view(request: Request) -> RequestView:
    return RequestView(
        id=request.id,
        action=request.action,
        by=request.by,
        at=request.at,
        reason=request.reason,
        question_id=request.question_id,
    )


def _question_view(question: Question) -> QuestionView:
    return QuestionView(
        id=question.id,
        key=question.key,
        question=question.question,
        options=list(question.options),
        answer_schema=question.answer_schema,
        phase=question.phase,
        asked_at=question.asked_at,
        expires_at=question.expires_at,
        has_default=question.has_default,
        default=question.default,
        state=question.state,
        answer=question.answer,
        answered_by=question.answered_by,
        answered_at=question.answered_at,
    )
