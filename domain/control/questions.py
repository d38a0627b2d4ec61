"""The questions in `flow_metadata.control`: what a flow asks, and who answered what."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from masterflow.domain.clock import parse_time
from masterflow.domain.control.requests import Request, requests, uuid_of
from masterflow.domain.json_shapes import as_list

QuestionState = Literal["open", "answered", "timed_out", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a flow asks a human, and what became of it."""

    id: UUID
    key: str
    question: str
    options: tuple[str, ...] = ()
    answer_schema: dict[str, Any] | None = None
    asked_at: datetime
    expires_at: datetime | None = None
    has_default: bool = False
    default: Any = None
    phase: str | None = None
    state: QuestionState
    #: Whether a process asked it before, such as one that was started anew since.
    is_asked_again: bool = False
    #: Whether the process has taken the answer, or given up.
    is_settled: bool
    answer: Any = None
    answered_by: str | None = None
    answered_at: datetime | None = None
    #: The request that answered.
    request_id: UUID | None = None

    @property
    def waits_for_process(self) -> bool:
        """Return whether an answer has come that the process has not taken yet."""
        return self.state == "answered" and not self.is_settled


def questions(entries: list[dict[str, Any]]) -> list[Question]:
    """Return the questions among the entries, the one asked first comes first.

    A restarted process asks the same question again under the same id: it counts from the first time, also
    the time that there is for an answer, in the newest words. Of several answers the one that the process
    says it took is the answer, else the earliest by time and id that it did not refuse.
    """
    asked: dict[UUID, list[dict[str, Any]]] = {}
    for entry in entries:
        found = uuid_of(entry["id"])
        if entry["kind"] == "asked" and found:
            asked.setdefault(found, []).append(entry)
    answers = [request for request in requests(entries) if request.action == "answer"]
    settled = [entry for entry in entries if entry["kind"] == "settled"]
    return [
        _question(
            each,
            times,
            [answer for answer in answers if answer.question_id == each],
            [entry for entry in settled if uuid_of(entry.get("question_id")) == each],
        )
        for each, times in asked.items()
    ]


def question_of(entries: list[dict[str, Any]], question_id: UUID) -> Question | None:
    """Return the question of this id, if the row still has it."""
    return next((question for question in questions(entries) if question.id == question_id), None)


def _question(
    question_id: UUID, asked: list[dict[str, Any]], answers: list[Request], settled: list[dict[str, Any]]
) -> Question:
    refused = {uuid_of(entry.get("request_id")) for entry in settled if entry.get("outcome") == "refused"}
    # Of two that settled it at different times, as may happen around a restart, the first counts.
    end = next((entry for entry in settled if entry.get("outcome") != "refused"), None)
    taken = uuid_of(end.get("request_id")) if end else None
    answer = next((answer for answer in answers if answer.id == taken), None)
    state: QuestionState = "open"
    if end and end.get("outcome") in ("timed_out", "withdrawn"):
        state = "timed_out" if end["outcome"] == "timed_out" else "withdrawn"
    elif end or (answer := next((answer for answer in answers if answer.id not in refused), None)):
        state = "answered"
    newest, first = asked[-1], asked[0]
    value = answer.answer if answer else end.get("value") if end else None
    schema = newest.get("answer_schema")
    return Question(
        id=question_id,
        key=str(newest.get("key", "")),
        question=str(newest.get("question", "")),
        options=tuple(option for option in as_list(newest.get("options")) if isinstance(option, str)),
        answer_schema=schema if isinstance(schema, dict) else None,
        asked_at=_time(first["timestamp"]),
        expires_at=_expires_at(first, newest),
        has_default="default" in newest,
        default=newest.get("default"),
        phase=phase if isinstance(phase := newest.get("phase"), str) else None,
        state=state,
        is_asked_again=len(asked) > 1,
        is_settled=end is not None,
        answer=value,
        answered_by=answer.by if answer else None,
        answered_at=answer.at if answer else None,
        request_id=answer.id if answer else taken,
    )


def _expires_at(first: dict[str, Any], newest: dict[str, Any]) -> datetime | None:
    at = parse_time(newest.get("expires_at"))
    return at and at - (_time(newest["timestamp"]) - _time(first["timestamp"]))


def _time(text: str) -> datetime:
    at = parse_time(text)
    if at is None:
        raise ValueError(f"{text!r:.80} is no time; `control_entries` leaves such entries out.")
    return at


def pending_answers(entries: list[dict[str, Any]]) -> list[Request]:
    """Return the answers that have come and that the process has not taken yet, for it to be told again."""
    waiting = {question.request_id for question in questions(entries) if question.waits_for_process}
    return [request for request in requests(entries) if request.id in waiting]


def given_answers(entries: list[dict[str, Any]]) -> list[Request]:
    """Return the answers that count, also those that a process has taken: one that asks again needs them."""
    given = {question.request_id for question in questions(entries) if question.state == "answered"}
    return [request for request in requests(entries) if request.id in given]
