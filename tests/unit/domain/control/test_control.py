from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from masterflow.domain.control.questions import Question, pending_answers, question_of, questions
from masterflow.domain.control.refusals import refusal
from masterflow.domain.control.requests import (
    control_entries,
    paused_by,
    pending_pause,
    pending_stop,
    requests,
)
from masterflow.domain.errors import InputInvalid
from masterflow.domain.events import ControlRequested, QuestionAsked, new_event
from masterflow.domain.statuses import FLOW_STATUSES
from tests.support.events.flows import new_context

BEGIN = datetime(2026, 11, 27, 9, tzinfo=UTC)
QUESTION = UUID(int=900)


def entry(second: int, kind: str, number: int | None = None, **said: Any) -> dict[str, Any]:
    at = (BEGIN + timedelta(seconds=second)).isoformat(timespec="microseconds")
    return {"id": str(UUID(int=second if number is None else number)), "timestamp": at, "kind": kind} | said


def asked(second: int, **said: Any) -> dict[str, Any]:
    return entry(second, "asked", QUESTION.int, key="mapping", question="Go on?") | said


def answered(second: int, answer: Any, by: str = "ana") -> dict[str, Any]:
    return entry(second, "answer", by=by, question_id=str(QUESTION), answer=answer)


def settled(second: int, outcome: str, request: int | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {} if request is None else {"request_id": str(UUID(int=request))}
    return entry(second, "settled", question_id=str(QUESTION), outcome=outcome, **said)


def the_question(*entries: dict[str, Any]) -> Question:
    found = {question_of(control_entries({"control": list(way)}), QUESTION) for way in permutations(entries)}
    [question] = found
    assert question
    return question


def test_what_is_no_entry_of_ours_is_left_out() -> None:
    odd: Sequence[Any] = [
        None, 1, "cancel", [], {}, {"id": "x", "timestamp": "x", "kind": "cancel"},
        entry(1, "cancel") | {"id": 7}, entry(1, "cancel") | {"timestamp": None},
        entry(1, "cancel") | {"kind": []},
    ]  # fmt: skip
    assert control_entries({"control": [*odd, entry(2, "cancel", by="ana")]}) == [
        entry(2, "cancel", by="ana")
    ]
    others: list[Any] = [None, {}, {"control": {}}, {"control": "theirs"}, []]
    for other in others:
        assert control_entries(other) == []
    assert requests([entry(1, "something else")]) == []


def test_the_first_request_to_cancel_is_pending_until_the_flow_ends() -> None:
    entries = [
        entry(1, "pause", by="bo"),
        entry(2, "cancel", by="ana", reason="wrong file"),
        entry(3, "cancel", by="bo"),
    ]
    for status in FLOW_STATUSES:
        stop = pending_stop(entries, status)
        assert (stop and (stop.by, stop.reason)) == (
            None if status in {"completed", "cancelled", "failed"} else ("ana", "wrong file")
        )


def test_a_request_to_cancel_lapses_where_a_failed_flow_is_tried_again() -> None:
    entries = [entry(2, "cancel", by="ana")]
    assert pending_stop(entries, "processing", reopened_at=BEGIN + timedelta(seconds=3)) is None
    assert pending_stop(entries, "processing", reopened_at=BEGIN + timedelta(seconds=1))


def test_the_newest_of_pause_and_resume_counts() -> None:
    pause, resume = entry(1, "pause", by="ana"), entry(2, "resume", by="bo")
    found = pending_pause([pause], "processing")
    assert found
    assert found.action == "pause"
    assert pending_pause([pause], "paused") is None
    found = paused_by([pause], "paused")
    assert found
    assert found.by == "ana"
    assert pending_pause([pause, resume], "processing") is None
    found = pending_pause([pause, resume], "paused")
    assert found
    assert found.action == "resume"
    assert paused_by([pause, resume], "paused") is None
    assert pending_pause([pause], "completed") is None
    assert pending_pause([], "paused") is None


def test_a_question_is_open_until_somebody_answers() -> None:
    assert the_question(asked(1)).state == "open"
    question = the_question(asked(1, options=["yes", "no"]), answered(2, "yes"))
    assert (question.state, question.is_settled, question.answer) == ("answered", False, "yes")
    assert (question.answered_by, question.answered_at) == ("ana", BEGIN + timedelta(seconds=2))
    assert question.waits_for_process


def test_of_two_answers_the_earlier_wins_unless_the_process_took_the_other() -> None:
    early, late = answered(2, "yes"), answered(3, "no", by="bo")
    assert the_question(asked(1), early, late).answered_by == "ana"
    question = the_question(asked(1), early, late, settled(4, "answered", 3))
    assert (question.answered_by, question.answer, question.is_settled) == ("bo", "no", True)
    assert not question.waits_for_process


def test_an_answer_that_the_process_refused_leaves_the_question_open() -> None:
    early, late = answered(2, "yes"), answered(4, "no", by="bo")
    question = the_question(asked(1), early, settled(3, "refused", 2))
    assert (question.state, question.answer) == ("open", None)
    assert the_question(asked(1), early, settled(3, "refused", 2), late).answered_by == "bo"


@pytest.mark.parametrize("outcome", ["timed_out", "withdrawn"])
def test_a_question_that_is_over_stays_over_whatever_comes(outcome: str) -> None:
    assert the_question(asked(1), settled(3, outcome), answered(4, "yes")).state == outcome


def test_a_question_that_a_restarted_process_asks_again_counts_from_the_first_time() -> None:
    question = the_question(asked(1), answered(2, "yes"), asked(5, expires_at="2026-11-28T00:00:00+00:00"))
    assert (question.asked_at, question.state) == (BEGIN + timedelta(seconds=1), "answered")
    assert question.expires_at == datetime(2026, 11, 28, tzinfo=UTC) - timedelta(seconds=4)


def test_answers_that_the_process_has_not_taken_are_pending() -> None:
    entries = [asked(1), answered(2, "yes"), answered(3, "no")]
    assert [request.id.int for request in pending_answers(entries)] == [2]
    assert pending_answers([*entries, settled(4, "answered", 2)]) == []


def test_questions_come_in_the_order_in_which_they_were_asked() -> None:
    entries = [entry(1, "asked", 50, key="a", question="?"), entry(2, "asked", 40, key="b", question="?")]
    assert [question.key for question in questions(control_entries({"control": entries[::-1]}))] == ["a", "b"]


@pytest.mark.parametrize("status", ["completed", "cancelled"])
@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "answer", "fail"])
def test_nothing_can_be_asked_of_a_flow_that_is_over(status: str, action: Any) -> None:
    assert refusal(action, status=status, liveness=None, entries=[]) == (
        f"The flow is {status}; nothing can be asked of it any more."
    )


CANCEL, PAUSE, RESUME = entry(1, "cancel", by="bo"), entry(1, "pause", by="bo"), entry(2, "resume", by="bo")


@pytest.mark.parametrize(
    ("action", "status", "liveness", "entries", "why"),
    [
        ("cancel", "processing", "alive", [], None),
        ("cancel", "processing", "silent", [], None),
        ("cancel", "processing", None, [CANCEL], None),
        ("cancel", "processing", "lost", [CANCEL], None),
        ("cancel", "paused", None, [], None),
        ("cancel", "processing", "alive", [CANCEL], "bo asked to cancel the flow already"),
        ("cancel", "failed", None, [], "failed already; there is nothing to cancel"),
        ("pause", "processing", "alive", [], None),
        ("pause", "processing", "alive", [PAUSE, RESUME], None),
        ("pause", "processing", "alive", [PAUSE], "bo asked to pause the flow already"),
        ("pause", "paused", None, [], "waits already"),
        ("pause", "processing", "lost", [], "is lost"),
        ("pause", "processing", "alive", [CANCEL], "can only stop now"),
        ("resume", "paused", None, [PAUSE], None),
        ("resume", "processing", "alive", [PAUSE], None),
        ("resume", "paused", None, [PAUSE, RESUME], "bo asked to resume the flow already"),
        ("resume", "processing", "alive", [], "not paused"),
        ("resume", "waiting_for_approval", None, [], "answer its question"),
        ("resume", "paused", None, [CANCEL], "can only stop now"),
        ("fail", "processing", "lost", [], None),
        ("fail", "processing", None, [], None),
        ("fail", "processing", "alive", [], "process lives: cancel"),
        ("fail", "processing", "silent", [], "no verdict"),
        ("fail", "failed", None, [], "failed already"),
        ("fail", "paused", None, [], "waits for a person"),
        ("fail", "waiting_for_approval", "lost", [], "waits for a person"),
    ],
)
def test_what_may_be_asked_and_why_not(
    action: Any, status: str, liveness: Any, entries: list[dict[str, Any]], why: str | None
) -> None:
    said = refusal(action, status=status, liveness=liveness, entries=entries)
    assert (said is None) == (why is None)
    assert (why or "") in (said or "")


@pytest.mark.parametrize(
    ("entries", "answer", "why"),
    [
        ([], "yes", "no such question"),
        ([asked(1)], {"any": "thing"}, None),
        ([asked(1, options=["yes", "no"])], "yes", None),
        ([asked(1, options=["yes", "no"])], "maybe", "none of the options: yes, no"),
        ([asked(1, options=["yes", "no"])], ["yes"], "none of the options"),
        ([asked(1), answered(2, "yes")], "no", "answered by ana already"),
        ([asked(1), settled(2, "timed_out")], "no", "nobody answered in time"),
        ([asked(1), settled(2, "withdrawn")], "no", "needs no answer any more"),
        ([asked(1, expires_at="2026-11-27T08:00:00+00:00")], "no", "nobody answered in time"),
    ],
)
def test_which_answers_are_refused(entries: list[dict[str, Any]], answer: Any, why: str | None) -> None:
    question = question_of(entries, QUESTION)
    said = refusal(
        "answer", status="paused", liveness=None, entries=entries, question=question, answer=answer, now=BEGIN
    )
    assert (said is None) == (why is None)
    assert (why or "") in (said or "")


def test_a_long_answer_is_refused_and_no_word_of_it_is_cut() -> None:
    def request(answer: Any) -> ControlRequested:
        return new_event(
            ControlRequested, new_context(), UUID(int=1), action="answer", by="ana", answer=answer
        )

    assert request("x" * 1_998).answer == "x" * 1_998
    for long in ("x" * 1_999, "x" * 10**6, ["é" * 100] * 10, [0] * 10**5):
        with pytest.raises(InputInvalid, match="at most 2,000 bytes"):
            request(long)
    assert request({"at": float("nan")}).answer == {"at": None}


def test_options_are_few_and_a_schema_is_whole_or_left_out() -> None:
    def ask(**fields: Any) -> QuestionAsked:
        return new_event(QuestionAsked, new_context(), UUID(int=1), key="k", question="?", **fields)

    assert ask(options=["a" * 100] * 20).options == ("a" * 100,) * 20
    for many in (["a"] * 21, ["é" * 100] * 20, "yes", [1]):
        with pytest.raises(InputInvalid, match="options"):
            ask(options=many)
    schema = {"type": "object", "properties": {"go": {"type": "boolean"}}}
    assert ask(answer_schema=schema).answer_schema == schema
    assert ask(answer_schema={"description": "x" * 1_600}).answer_schema is None
    assert ask(answer_schema={"properties": {"password": {"type": "string"}}}).answer_schema is None
