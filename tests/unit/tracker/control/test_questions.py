import asyncio
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import BaseModel

from masterflow import FlowStopped, InputInvalid, create_progress_tracker, phase
from masterflow.domain.events import PhaseTimed, QuestionAsked, QuestionSettled, question_id
from masterflow.tracker.control.requests import Message
from tests.support.events.reported import CONTEXT, FLOW_ID
from tests.support.eventually import eventually

OPTIONS = ["approve", "reject"]


class Mapping(BaseModel):
    source: str
    confidence: float = 1.0


def settled(told) -> list[tuple[str, object]]:
    return [(event.outcome, event.value) for event in told.of(QuestionSettled)]


async def until(is_so) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110  what it waits for is no event of this loop
            await asyncio.sleep(0)


def test_plain_code_waits_for_the_answer_while_the_flow_waits(tracker, told):
    def answer() -> None:
        eventually(lambda: told.statuses[-1:] == ["waiting_for_approval"])
        told.answer("mapping", "approve", by="bob")

    thread = threading.Thread(target=answer)
    thread.start()
    with tracker, phase("field_mapping"):
        assert tracker.ask("Approve the mapping?", options=OPTIONS, key="mapping").wait() == "approve"
    thread.join()
    [asked] = told.of(QuestionAsked)
    assert (asked.question, asked.options, asked.phase) == (
        "Approve the mapping?", tuple(OPTIONS), "field_mapping"
    )  # fmt: skip
    [end] = told.of(QuestionSettled)
    assert (end.question_id, end.outcome, end.value) == (asked.event_id, "answered", "approve")
    assert end.request_id is not None
    assert told.statuses == ["processing", "waiting_for_approval", "processing"]
    assert told.transitions == [
        "field_mapping:processing",
        "field_mapping:paused",
        "field_mapping:processing",
        "field_mapping:completed",
    ]
    assert told.snapshot["workflow_status"] == "processing"


async def test_a_task_awaits_the_answer(tracker, told):
    async def flow() -> object:
        async with tracker:
            return await tracker.ask("Approve?", options=OPTIONS, key="mapping")

    task = asyncio.create_task(flow())
    await until(lambda: told.of(QuestionAsked))
    await asyncio.to_thread(told.answer, "mapping", "reject")
    assert await asyncio.wait_for(task, 5) == "reject"


def test_an_answer_that_came_before_is_found_at_once(tracker, told):
    told.answer("name", {"any": ["JSON"]})
    assert tracker.ask("Which name?", key="name").wait() == {"any": ["JSON"]}


def test_a_question_without_options_lets_the_flow_pause(tracker, told):
    told.answer("name", "x")
    tracker.ask("Which name?", key="name").wait()
    assert told.statuses == ["paused", "processing"]


def test_a_restarted_process_asks_the_same_question_and_each_round_is_another(tracker, told):
    told.answer("mapping", "approve")
    first = tracker.ask("Approve?", options=OPTIONS, key="mapping")
    first.wait()
    second = tracker.ask("Approve?", options=OPTIONS, key="mapping")
    assert first.id == question_id(UUID(str(FLOW_ID)), "mapping", 0)
    assert second.id == question_id(UUID(str(FLOW_ID)), "mapping", 1)
    keyless = {tracker.ask("Approve?").id for _ in range(2)}
    assert len(keyless) == 2


def asked_before(tracker, ago: timedelta, outcome: str | None, round_number: int = 0) -> None:
    """Tell the process what a worker tells of a question that a former process asked."""
    asked_id = question_id(UUID(str(FLOW_ID)), "mapping", round_number)
    at = datetime.now(UTC) - ago
    tracker.record.control.take(Message(asked_id, "asked", "", at, question_id=asked_id, outcome=outcome))


def test_the_time_for_an_answer_counts_from_when_a_former_process_asked(tracker, told):
    asked_before(tracker, timedelta(seconds=3590), None)
    question = tracker.ask("Approve?", options=OPTIONS, key="mapping", timeout_s=3600)
    threading.Timer(0.1, asked_before, (tracker, timedelta(seconds=3601), None)).start()
    with pytest.raises(TimeoutError, match="within 3600 s"):
        question.wait()


def test_a_question_to_which_nobody_answered_in_time_has_its_default_for_the_next_process_too(tracker, told):
    asked_before(tracker, timedelta(seconds=5), "timed_out")
    assert tracker.ask("Approve?", options=OPTIONS, key="mapping", default="reject").wait() == "reject"
    assert settled(told) == [("timed_out", "reject")]


@pytest.mark.parametrize("outcome", ["timed_out", "withdrawn"])
def test_a_question_that_ended_without_an_answer_is_asked_anew_and_can_be_answered(tracker, told, outcome):
    asked_before(tracker, timedelta(hours=9), outcome)
    asked_before(tracker, timedelta(hours=5), "withdrawn", 1)
    question = tracker.ask("Approve?", options=OPTIONS, key="mapping", timeout_s=3600)
    threading.Timer(0.1, told.answer, ("mapping", "approve")).start()
    assert question.wait() == "approve"
    ids = [question_id(UUID(str(FLOW_ID)), "mapping", number) for number in range(3)]
    assert [event.event_id for event in told.of(QuestionAsked)] == ids
    assert question.id == ids[2]


def test_an_answer_has_the_form_of_the_model(tracker, told):
    told.answer("mapping", {"source": "cmdb", "confidence": "0.5"})
    answer = tracker.ask("Which source?", model=Mapping, key="mapping").wait()
    assert answer == Mapping(source="cmdb", confidence=0.5)
    [asked] = told.of(QuestionAsked)
    assert asked.answer_schema == Mapping.model_json_schema()
    assert settled(told) == [("answered", {"source": "cmdb", "confidence": "0.5"})]


@dataclass
class Choice:
    rows: list[int]


@pytest.mark.parametrize(
    ("model", "answer", "read"),
    [(int, 3, 3), (list[str], ["a"], ["a"]), (Choice, {"rows": [1]}, Choice([1])), (bool, True, True)],
)
def test_a_model_is_any_type_that_pydantic_knows(tracker, told, model, answer, read):
    told.answer("choice", answer)
    assert tracker.ask("Which?", model=model, key="choice").wait() == read


def test_an_answer_of_a_wrong_form_is_refused_and_the_question_stays_open(
    tracker, told, caplog, quiet_losses
):
    told.answer("mapping", {"confidence": 1})
    question = tracker.ask("Which source?", model=Mapping, key="mapping")
    thread = threading.Thread(target=question.wait, daemon=True)
    thread.start()
    eventually(lambda: settled(told))
    assert settled(told) == [("refused", {"confidence": 1})]
    assert told.statuses == ["paused"]
    assert "source: Field required" in caplog.text
    told.answer("mapping", {"source": "cmdb"})
    thread.join(5)
    assert settled(told)[1:] == [("answered", {"source": "cmdb"})]
    assert question.wait() == Mapping(source="cmdb")


def test_an_answer_that_is_no_option_is_refused(tracker, told, quiet_losses):
    told.answer("mapping", "perhaps")
    with pytest.raises(TimeoutError):
        tracker.ask("Approve?", options=OPTIONS, key="mapping", timeout_s=0.05).wait()
    assert settled(told) == [("refused", "perhaps"), ("timed_out", None)]


def test_nobody_in_time_is_the_default(tracker, told):
    question = tracker.ask("Approve?", options=OPTIONS, timeout_s=0.02, default="reject")
    assert question.wait() == "reject"
    [asked] = told.of(QuestionAsked)
    assert (asked.has_default, asked.default) == (True, "reject")
    assert asked.expires_at is not None
    assert abs(asked.expires_at - datetime.now(UTC)) < timedelta(seconds=30)
    assert settled(told) == [("timed_out", "reject")]
    assert told.statuses == ["waiting_for_approval", "processing"]


async def test_nobody_in_time_without_a_default_is_a_time_out(tracker, told):
    with pytest.raises(TimeoutError, match=r"Nobody answered 'Approve\?' within 0\.02 s\."):
        await tracker.ask("Approve?", options=OPTIONS, timeout_s=0.02)
    assert settled(told) == [("timed_out", None)]


def test_none_is_a_default_too(tracker, told):
    assert tracker.ask("Which name?", timeout_s=0, default=None).wait() is None
    assert told.of(QuestionAsked)[0].has_default


async def test_the_flow_waits_until_the_last_of_several_questions_is_answered(tracker, told):
    async with tracker:
        questions = [tracker.ask(f"{key}?", options=OPTIONS, key=key) for key in ("a", "b")]
        task = asyncio.ensure_future(asyncio.gather(*questions))
        told.answer("b", "reject")
        await until(lambda: len(settled(told)) == 1)
        assert told.statuses == ["waiting_for_approval"]
        told.answer("a", "approve")
        assert await asyncio.wait_for(task, 5) == ["approve", "reject"]
    assert told.statuses == ["waiting_for_approval", "processing"]


async def test_a_phase_beside_a_question_starts_without_ending_the_wait(tracker, told):
    async with tracker:
        question = tracker.ask("Approve?", options=OPTIONS, key="mapping")
        with phase("beside"):
            pass
        assert told.statuses == ["waiting_for_approval"]
        told.answer("mapping", "approve")
        await question
    assert told.statuses == ["waiting_for_approval", "processing"]


def test_the_wait_does_not_count_as_work(tracker, told):
    with tracker, phase("outer"), phase("inner"):
        question = tracker.ask("Approve?", options=OPTIONS, key="mapping")
        time.sleep(0.2)  # what is to be left out of the phases' times
        told.answer("mapping", "approve")
        question.wait()
    assert max(event.execution_time_ms for event in told.of(PhaseTimed)) < 150


async def test_phases_of_other_tasks_count_on_and_each_phase_waits_for_its_own_question(tracker, told):
    async def ask(name: str, key: str) -> None:
        async with phase(name):
            await tracker.ask("Approve?", options=OPTIONS, key=key)
            if name == "quick":
                await asyncio.sleep(0.1)

    async with tracker, asyncio.TaskGroup() as group:
        quick, slow = (group.create_task(ask(name, name)) for name in ("quick", "slow"))
        await until(lambda: len(told.of(QuestionAsked)) == 2)
        told.answer("quick", "approve")
        await quick
        told.answer("slow", "approve")
        await slow
    times = {event.phase: event.execution_time_ms for event in told.of(PhaseTimed)}
    assert times["quick"] >= 90
    assert times["slow"] < 50


def test_a_stop_ends_the_wait(tracker, told):
    thread = threading.Timer(0.05, lambda: told.request_stop(FLOW_ID, by="ann"))
    thread.start()
    with pytest.raises(FlowStopped), tracker:
        tracker.ask("Approve?", options=OPTIONS).wait()
    assert settled(told) == [("withdrawn", None)]
    assert told.statuses == ["waiting_for_approval", "cancelled"]


async def test_a_stop_ends_the_wait_of_a_task(tracker, told):
    async def flow() -> None:
        async with tracker:
            await tracker.ask("Approve?", options=OPTIONS)

    task = asyncio.create_task(flow())
    await until(lambda: told.of(QuestionAsked))
    await asyncio.to_thread(told.request_stop, FLOW_ID)
    with pytest.raises(FlowStopped):
        await asyncio.wait_for(task, 5)
    assert told.statuses == ["waiting_for_approval", "cancelled"]


async def give_up(tracker, told, key: str | None) -> None:
    async def flow() -> None:
        async with tracker:
            await tracker.ask("Approve?", options=OPTIONS, key=key)

    task = asyncio.create_task(flow())
    await until(lambda: told.of(QuestionAsked))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wait_that_is_given_up_withdraws_its_question(tracker, told):
    await give_up(tracker, told, None)
    assert settled(told) == [("withdrawn", None)]
    assert told.statuses == ["waiting_for_approval", "processing", "cancelled"]


async def test_a_question_with_a_key_stays_open_for_the_process_that_asks_again(tracker, told):
    await give_up(tracker, told, "mapping")
    assert settled(told) == []
    assert told.statuses == ["waiting_for_approval"]
    told.answer("mapping", "approve")
    again = create_progress_tracker(FLOW_ID, CONTEXT)
    assert await again.ask("Approve?", options=OPTIONS, key="mapping") == "approve"


async def test_plain_waiting_does_not_hold_up_an_event_loop(tracker, told):
    question = tracker.ask("Approve?", options=OPTIONS)
    with pytest.raises(RuntimeError, match="Await the question"):
        question.wait()


def test_a_question_may_be_waited_for_again(tracker, told):
    told.answer("name", "x")
    question = tracker.ask("Which name?", key="name")
    assert not question.is_over
    assert (question.wait(), question.wait(), question.is_over) == ("x", "x", True)
    assert len(told.of(QuestionSettled)) == 1


def test_an_answer_to_another_question_is_none(tracker, told):
    other = create_progress_tracker(UUID(int=77), CONTEXT)
    other.ask("Approve?", options=OPTIONS, key="mapping")
    told.answer("mapping", "approve")
    assert (
        tracker.ask("Approve?", options=OPTIONS, key="mapping", timeout_s=0.02, default="no").wait() == "no"
    )


@pytest.mark.parametrize(
    "nonsense",
    [
        {"question": " "},
        {"question": 7},
        {"question": "Which?", "options": "approve"},
        {"question": "Which?", "options": [1, 2]},
        {"question": "Which?", "options": [str(number) for number in range(21)]},
        {"question": "Which?", "options": OPTIONS, "model": int},
        {"question": "Which?", "model": object()},
        {"question": "Which?", "timeout_s": -1},
        {"question": "Which?", "timeout_s": "soon"},
    ],
)
def test_what_nobody_could_answer_is_refused(tracker, told, nonsense):
    with pytest.raises(InputInvalid):
        tracker.ask(**nonsense)
    assert told.events == []


def test_long_options_are_shown_cut_and_answered_whole(tracker, told):
    long = "x" * 150
    question = tracker.ask("Which?", options=[long, "short"], key="long")
    shown = told.of(QuestionAsked)[0].options[0]
    assert len(shown) <= 100
    told.answer("long", shown)
    assert question.wait() == long
