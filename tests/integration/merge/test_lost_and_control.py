import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.control.deadlines import overdue
from masterflow.domain.control.questions import questions
from masterflow.domain.control.requests import control_entries, pending_stop, requests
from masterflow.domain.events import (
    AnyEvent,
    ControlRequested,
    DeadlinePassed,
    FlowLost,
    FlowSeen,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTransitioned,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
    deadline_id,
    new_event,
)
from masterflow.domain.liveness import is_lost, lost_facts
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.sql import source
from tests.support.events.flows import bytes_of, merged, new_context, new_flow, row_of

_CONTEXT = new_context()
_BEGIN = datetime(2026, 11, 27, 9, tzinfo=UTC)


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


def at(second: float, kind: type[Any], flow_id: UUID, **fields: Any) -> AnyEvent:
    event: AnyEvent = new_event(
        kind, _CONTEXT, flow_id, occurred_at=_BEGIN + timedelta(seconds=second), **fields
    )
    return event


def lost(second: float, flow_id: UUID, cause: str = "witnessed") -> AnyEvent:
    sign = _BEGIN + timedelta(seconds=second)
    return at(second, FlowLost, flow_id, cause=cause, holder="host-7", host="host", last_sign_at=sign)


def transition(second: float, flow_id: UUID) -> AnyEvent:
    return at(second, PhaseTransitioned, flow_id, phase="data_import", status="processing")


def cancel(second: float, flow_id: UUID, by: str = "ana", **fields: Any) -> AnyEvent:
    return at(second, ControlRequested, flow_id, action="cancel", by=by, **fields)


async def test_a_flow_is_lost_until_it_reports_something_from_a_later_time(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    row = await merged(session, flow_id, [transition(1, flow_id)], [lost(5, flow_id)])
    assert is_lost(row.flow_status, row.flow_metadata)
    assert lost_facts(row.flow_metadata) == {
        "cause": "witnessed",
        "holder": "host-7",
        "host": "host",
        "last_sign_at": "2026-11-27T09:00:05.000000+00:00",
        "phase": None,
    }
    # What the dead process had left behind, and what others say of the flow, is no sign of life.
    others = [
        cancel(7, flow_id),
        at(8, DeadlinePassed, flow_id, deadline_at=_BEGIN + timedelta(seconds=8)),
    ]
    row = await merged(session, flow_id, [transition(4, flow_id)], others)
    assert is_lost(row.flow_status, row.flow_metadata)
    row = await merged(session, flow_id, [at(9, FlowSeen, flow_id, holder="host-7")])
    assert not is_lost(row.flow_status, row.flow_metadata)
    row = await merged(session, flow_id, [lost(12, flow_id, "silent")])
    assert is_lost(row.flow_status, row.flow_metadata)


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "paused", "waiting_for_approval"])
async def test_a_flow_that_ended_or_waits_is_not_lost_whatever_came_first(
    session: AsyncSession, end: str
) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    events = [
        transition(1, flow_id),
        lost(5, flow_id),
        at(4, StatusChanged, flow_id, status=end),
    ]
    rows = set()
    for way in permutations(events):
        other = await new_flow(session, _CONTEXT)
        row = await merged(session, other, *([event.model_copy(update={"flow_id": other})] for event in way))
        assert not is_lost(row.flow_status, row.flow_metadata)
        rows.add(str(tuple(await bytes_of(session, other))))
    assert len(rows) == 1


async def test_a_deadline_that_passed_is_told_once_however_many_say_it(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    passed = _BEGIN + timedelta(seconds=30)
    told = [
        at(
            30,
            DeadlinePassed,
            flow_id,
            event_id=deadline_id(flow_id, phase, passed),
            phase=phase,
            deadline_at=passed,
            started_at=_BEGIN,
        )
        for phase in ("data_import", None)
        for _ in range(3)
    ]
    row = await merged(session, flow_id, told[:1], told, told[2:])
    assert [(entry["phase"], entry["timestamp"]) for entry in row.flow_metadata["overdue"]] == [
        (phase, "2026-11-27T09:00:30.000000+00:00")
        for phase in sorted(("data_import", None), key=lambda each: deadline_id(flow_id, each, passed).hex)
    ]


async def test_requests_and_questions_are_read_back_as_they_were_asked(session: AsyncSession) -> None:
    flow_id, question_id, answer_id = await new_flow(session, _CONTEXT), uuid4(), uuid4()
    events = [
        at(
            1, QuestionAsked, flow_id, event_id=question_id, key="mapping", question="Go on?",
            options=["yes", "no"], has_default=True, default="no", phase="data_import",
            expires_at=_BEGIN + timedelta(hours=1),
        ),
        at(
            2, ControlRequested, flow_id, event_id=answer_id, action="answer", by="bo",
            question_id=question_id, answer="yes",
        ),
        at(
            3, QuestionSettled, flow_id, question_id=question_id, outcome="answered",
            request_id=answer_id, value="yes",
        ),
        cancel(4, flow_id, reason="the wrong file"),
    ]  # fmt: skip
    row = await merged(session, flow_id, events[::-1])
    entries = control_entries(row.flow_metadata)
    [question] = questions(entries)
    assert (question.id, question.key, question.question) == (question_id, "mapping", "Go on?")
    assert (question.options, question.default, question.phase) == (("yes", "no"), "no", "data_import")
    assert (question.asked_at, question.expires_at) == (
        _BEGIN + timedelta(seconds=1),
        _BEGIN + timedelta(hours=1),
    )
    assert (question.state, question.answer, question.answered_by) == ("answered", "yes", "bo")
    assert (question.request_id, question.is_settled) == (answer_id, True)
    stop = pending_stop(entries, row.flow_status)
    assert stop
    assert (stop.by, stop.reason, stop.at) == ("ana", "the wrong file", _BEGIN + timedelta(seconds=4))


async def test_many_answers_push_no_request_out_and_the_newest_twenty_stay(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    events = [cancel(second, flow_id, by=f"user {second}") for second in range(25)]
    events += [
        at(100 + n, ControlRequested, flow_id, action="answer", by="x", question_id=uuid4(), answer="x" * 900)
        for n in range(60)
    ]
    row = await merged(session, flow_id, events)
    found = requests(control_entries(row.flow_metadata))
    assert [request.by for request in found if request.action == "cancel"] == [
        f"user {second}" for second in range(5, 25)
    ]
    assert len([request for request in found if request.action == "answer"]) == 20


async def test_a_question_that_a_restarted_process_asks_again_stands_there_twice(
    session: AsyncSession,
) -> None:
    flow_id, question_id = await new_flow(session, _CONTEXT), uuid4()
    first, again = (
        at(second, QuestionAsked, flow_id, event_id=question_id, key="k", question=words)
        for second, words in ((1, "Go on?"), (50, "Go on now?"))
    )
    row = await merged(session, flow_id, [again, first, again])
    [question] = questions(control_entries(row.flow_metadata))
    assert (question.question, question.asked_at) == ("Go on now?", _BEGIN + timedelta(seconds=1))


async def test_what_an_application_keeps_under_our_names_stays_until_we_need_the_place(
    session: AsyncSession,
) -> None:
    theirs = {"lost": "and found", "control": {"their": "own"}, "overdue": [1]}
    flow_id = await new_flow(session, _CONTEXT, flow_metadata=theirs)
    row = await merged(
        session, flow_id, [transition(1, flow_id), at(2, MetadataUpdated, flow_id, updates={"a": 1})]
    )
    assert {key: row.flow_metadata[key] for key in theirs} == theirs
    assert not is_lost(row.flow_status, row.flow_metadata)
    passed = at(8, DeadlinePassed, flow_id, deadline_at=_BEGIN)
    row = await merged(
        session, flow_id, [lost(5, flow_id)], [cancel(6, flow_id)], [passed], [lost(9, flow_id)]
    )
    assert row.flow_metadata["_enrichment"]["displaced"] == {
        f"flow_metadata.{key}": value for key, value in theirs.items()
    }
    assert is_lost(row.flow_status, row.flow_metadata)
    assert len(row.flow_metadata["control"]) == len(row.flow_metadata["overdue"]) == 1


async def test_a_caller_who_uses_our_names_keeps_the_values_under_others(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    told = at(1, MetadataUpdated, flow_id, updates={"control": [1], "lost": True, "overdue": None, "mine": 1})
    row = await merged(session, flow_id, [told])
    assert {key: value for key, value in row.flow_metadata.items() if key != "_enrichment"} == {
        "reported_control": [1],
        "reported_lost": True,
        "reported_overdue": None,
        "mine": 1,
    }


async def test_the_merge_says_of_which_flows_something_was_asked(session: AsyncSession) -> None:
    asked, other = await new_flow(session, _CONTEXT), await new_flow(session, _CONTEXT)
    request = cancel(1, asked)
    outcome = await apply_events(session, [request, transition(1, other)])
    assert outcome.controlled == {asked}
    # A worker that died between its commit and telling gets the batch again, which changes nothing.
    assert (await apply_events(session, [request])).controlled == {asked}
    outcome = await apply_events(session, [transition(2, asked), transition(2, other)])
    assert outcome.controlled == {asked}
    outcome = await apply_events(session, [at(3, MemoryMeasured, asked, metrics={"a": 1})])
    assert outcome.controlled == {asked}


async def test_two_who_answer_at_once_are_both_kept_and_one_wins(
    session_factory: async_sessionmaker[AsyncSession],
) -> None:
    question_id = uuid4()
    async with session_factory() as session, session.begin():
        flow_id = await new_flow(session, _CONTEXT)
        asked = at(1, QuestionAsked, flow_id, event_id=question_id, key="k", question="?")
        await apply_events(session, [asked])

    async def answer(by: str) -> None:
        async with session_factory() as session, session.begin():
            fields = {"action": "answer", "by": by, "question_id": question_id, "answer": by}
            await apply_events(session, [at(2, ControlRequested, flow_id, **fields)])

    await asyncio.gather(*(answer(f"user {number}") for number in range(8)))
    async with session_factory() as session:
        row = await row_of(session, flow_id)
    entries = control_entries(row.flow_metadata)
    assert len(requests(entries)) == 8
    [question] = questions(entries)
    assert question.request_id == min(request.id for request in requests(entries))


def _metadata(random: Random) -> Any:
    times = ["1795510814000000" + "a" * 32, "1795510814000001" + "b" * 32]
    stamps: list[Any] = [*times * 4, ":0", "é", "", None, 5, [], {}]
    odd_clocks: list[Any] = [{"flow_metadata": []}, {}, [], None]
    clocks = {"flow_metadata": {"lost": random.choice(stamps)}}
    book: Any = {
        "clocks": random.choice([*[clocks] * 9, *odd_clocks]),
        "newest": random.choice(stamps),
    }
    if random.random() < 0.2:
        del book["newest"]
    lost: Any = random.choice([*[{"cause": "silent"}] * 9, {}, None, "theirs", [1]])
    metadata: Any = {"lost": lost, "_enrichment": random.choice([book] * 9 + [None, [book], "x"])}
    return random.choice([metadata] * 20 + [None, [metadata], "lost", 5, {"lost": lost}])


def _overdue_row(random: Random) -> dict[str, Any]:
    times = [(_BEGIN + timedelta(seconds=second)).isoformat(timespec="microseconds") for second in range(4)]
    odd: list[Any] = [None, 5, "soon", "2026-11-27T09:00:00", [], times]
    phases: list[Any] = ["a", "a", "b", None, None, 7, ["a"]]
    statuses: list[Any] = [
        "processing",
        "active",
        "paused",
        "completed",
        "failed",
        "cancelled",
        None,
        ["failed"],
    ]

    def one_of(values: list[Any]) -> Any:
        return random.choice(values if random.random() < 0.9 else odd)

    entries: Any = [
        {
            "id": str(uuid4()),
            "timestamp": one_of(times),
            "phase": random.choice(phases),
            "started_at": one_of(times),
        }
        for _ in range(random.randrange(3))
    ]
    transitions: Any = [
        {"phase": random.choice(phases), "status": random.choice(statuses), "timestamp": one_of(times)}
        for _ in range(random.randrange(4))
    ]
    metadata: Any = {"overdue": random.choice([entries] * 9 + [*odd, [None, 1]])}
    if random.random() < 0.4:
        metadata["deadline_at"] = one_of(times)
    return {
        "flow_status": random.choice([*FLOW_STATUSES, "archived"]),
        "flow_metadata": random.choice([metadata] * 20 + odd),
        "phase_transitions": random.choice([transitions] * 20 + [*odd, [[{"phase": "a"}], 5]]),
    }


async def test_the_statements_and_the_functions_agree_on_what_is_lost_and_overdue(
    session: AsyncSession,
) -> None:
    random = Random(17)
    rows = [
        {"flow_status": random.choice([*FLOW_STATUSES, "archived"]), "flow_metadata": _metadata(random)}
        for _ in range(3_000)
    ] + [_overdue_row(random) for _ in range(5_000)]
    query = (
        f"select {source('is_lost')}, {source('is_overdue')}"
        " from rows from (jsonb_to_recordset(cast(:rows as jsonb))"
        " as (flow_status text, flow_metadata jsonb, phase_transitions jsonb))"
        " with ordinality as flow (flow_status, flow_metadata, phase_transitions, place)"
        " cross join lateral (select flow.flow_metadata as metadata) as raw order by place"
    )
    found = [tuple(row) for row in await session.execute(text(query), {"rows": json.dumps(rows)})]
    expected = [
        (
            is_lost(row["flow_status"], row["flow_metadata"]),
            bool(overdue(row["flow_status"], row["flow_metadata"], row.get("phase_transitions"))),
        )
        for row in rows
    ]
    assert found == expected
    assert sum(lost for lost, _ in expected) > 100
    assert 500 < sum(late for _, late in expected) < 4_000


async def test_a_phase_is_overdue_until_it_ends_and_a_flow_until_it_has_more_time(
    session: AsyncSession,
) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    passed = [
        at(
            30,
            DeadlinePassed,
            flow_id,
            phase=phase,
            deadline_at=_BEGIN + timedelta(seconds=30),
            started_at=_BEGIN,
        )
        for phase in ("data_import", None)
    ]
    row = await merged(session, flow_id, [transition(1, flow_id), *passed])
    late = overdue(row.flow_status, row.flow_metadata, row.phase_transitions)
    assert {each.phase: each.deadline_at for each in late} == {
        None: _BEGIN + timedelta(seconds=30),
        "data_import": _BEGIN + timedelta(seconds=30),
    }
    ended = at(40, PhaseTransitioned, flow_id, phase="data_import", status="completed")
    row = await merged(session, flow_id, [ended])
    assert [each.phase for each in overdue(row.flow_status, row.flow_metadata, row.phase_transitions)] == [
        None
    ]
    more = {"deadline_at": (_BEGIN + timedelta(seconds=90)).isoformat(timespec="microseconds")}
    row = await merged(session, flow_id, [at(41, MetadataUpdated, flow_id, updates=more)])
    assert overdue(row.flow_status, row.flow_metadata, row.phase_transitions) == []


async def test_what_happened_to_a_flow_reads_the_same_in_whatever_order_it_came(
    session: AsyncSession,
) -> None:
    question_id, answers = uuid4(), [uuid4(), uuid4()]
    random = Random(17)
    story: list[tuple[float, type[Any], dict[str, Any]]] = [
        (1, PhaseTransitioned, {"phase": "data_import", "status": "processing"}),
        (5, FlowLost, {"cause": "silent", "holder": "host-7", "host": "host", "last_sign_at": _BEGIN}),
        (6, FlowSeen, {"holder": "host-7"}),
        (7, QuestionAsked, {"event_id": question_id, "key": "k", "question": "Go on?"}),
        (8, StatusChanged, {"status": "paused"}),
        (9, ControlRequested, {"event_id": answers[0], "action": "answer", "by": "ana"}),
        (9, ControlRequested, {"event_id": answers[1], "action": "answer", "by": "bo"}),
        (10, QuestionSettled, {"question_id": question_id, "outcome": "answered", "request_id": answers[1]}),
        (11, StatusChanged, {"status": "processing"}),
        (12, DeadlinePassed, {"deadline_at": _BEGIN + timedelta(seconds=12)}),
        (13, ControlRequested, {"event_id": uuid4(), "action": "cancel", "by": "ana", "reason": "too late"}),
        (14, StatusChanged, {"status": "cancelled", "metadata": {"cancelled_by": "ana"}}),
        (15, FlowLost, {"cause": "goodbye", "holder": "host-8", "host": "host", "last_sign_at": _BEGIN}),
    ]
    for _, _, fields in story:
        if fields.get("action") == "answer":
            fields |= {"question_id": question_id, "answer": fields["by"]}
    events = [at(second, kind, question_id, **fields) for second, kind, fields in story]
    rows = []
    for _ in range(30):
        flow_id = await new_flow(session, _CONTEXT)
        way = [each.model_copy(update={"flow_id": flow_id}) for each in [*events, *random.sample(events, 5)]]
        random.shuffle(way)
        cut = random.randrange(len(way))
        row = await merged(
            session, flow_id, *random.choice([[way], [way[:cut], way[cut:]], [[each] for each in way]])
        )
        rows.append(tuple(await bytes_of(session, flow_id)))
    assert len(set(rows)) == 1
    entries = control_entries(row.flow_metadata)
    [question] = questions(entries)
    assert (question.answered_by, question.answer, question.is_settled) == ("bo", "bo", True)
    assert row.flow_status == "cancelled"
    assert not is_lost(row.flow_status, row.flow_metadata)
    assert pending_stop(entries, row.flow_status) is None
    assert overdue(row.flow_status, row.flow_metadata, row.phase_transitions) == []
