"""A request on its way: from API or `flowctl` over a worker into the row and to the flow's processes."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from masterflow.domain.clock import to_microseconds
from masterflow.domain.events import (
    ControlRequested,
    FlowRetried,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
    new_event,
)
from masterflow.domain.redis_keys import told_key
from masterflow.domain.signing.signatures import Signature, verify
from masterflow.repository.database import session_factory
from masterflow.repository.redis.client import RedisLink
from masterflow.repository.settings import RedisSettings
from masterflow.repository.status.reads import FlowScope
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.status.control.sender import AnsweredAlready, NewRequest, RequestRefused, RequestSender
from masterflow.tasks.dead_letters.letters import Selection
from masterflow.tasks.enqueue import QueueSettings, RequestMessage
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import engine_for, temporary_database

OURS = new_context()
ACCOUNT_KEYS = {"account": "a" * 32}
WORKER_KEYS = {"operators": "o" * 32}


@pytest.fixture(scope="module")
def place(postgres_server: str, database_template: str, server_folder: Path) -> Iterator[Workplace]:
    folder = server_folder / f"workplace-{uuid4().hex}"
    with (
        temporary_database(postgres_server, template=database_template) as database_url,
        EmbeddedRedis(folder / "redis") as server,
    ):
        place = Workplace(
            folder,
            database_url=database_url,
            redis_url=server.url,
            ENRICHMENT_SIGNING_KEYS=json.dumps({str(OURS.client_account_id): ACCOUNT_KEYS}),
            ENRICHMENT_WORKER_KEYS=json.dumps(WORKER_KEYS),
        )
        with place.worker():
            yield place
    server.remove()
    place.remove()


def ask(place: Workplace, flow_id: UUID, action: Any, *, by: str = "ann", **fields: Any) -> str:
    """Ask as API and flowctl do; return what became of it."""

    async def send() -> str:
        engine = engine_for(place.environment["DATABASE_URL"])
        redis = RedisLink(RedisSettings.model_validate({"REDIS_URL": place.settings.redis_url}))
        scope = FlowScope(OURS.client_account_id, frozenset({OURS.engagement_id}))
        asked = NewRequest(**{"action": action, "by": by, "request_id": uuid4(), **fields})
        try:
            sender = RequestSender(session_factory(engine), redis, place.settings)
            return await sender.send(scope, flow_id, asked, wait_s=10)
        finally:
            await redis.close()
            await engine.dispose()

    return asyncio.run(send())


def told(place: Workplace, flow_id: UUID) -> list[dict[str, Any]]:
    """Return what the processes of a flow were told, each word proven."""
    found: Any = place.redis.xrange(told_key(OURS.client_account_id, OURS.engagement_id))
    messages = []
    for _, fields in found:
        if fields["flow_id"] == str(flow_id):
            keys = {name: SecretStr(secret) for name, secret in ACCOUNT_KEYS.items()}
            proof = Signature(fields["key_id"], fields["signature"])
            verify("control", [fields["flow_id"], fields["message"]], keys, proof)
            messages.append(json.loads(fields["message"]))
    return messages


def tell(place: Workplace, flow_id: UUID, kind: Any, **fields: Any) -> None:
    """Report something of a flow, and wait until it is committed."""
    sender_id = uuid4().hex
    place.publish([new_event(kind, OURS, flow_id, **fields)], OURS, sender_id=sender_id)
    eventually(lambda: place.confirmations(sender_id))


def running(place: Workplace) -> UUID:
    flow_id = place.new_flow(OURS)
    tell(place, flow_id, StatusChanged, status="processing")
    return flow_id


def control(place: Workplace, flow_id: UUID) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = place.row(flow_id)["flow_metadata"].get("control", [])
    return found


def test_a_request_stands_in_the_row_and_its_process_is_told_who_asked_and_why(place: Workplace) -> None:
    flow_id = running(place)
    assert ask(place, flow_id, "pause", reason="lunch") == "accepted"
    [entry] = control(place, flow_id)
    assert (entry["kind"], entry["by"], entry["reason"]) == ("pause", "ann", "lunch")
    [message] = eventually(lambda: told(place, flow_id))
    assert message == {
        "request_id": entry["id"],
        "action": "pause",
        "by": "ann",
        "reason": "lunch",
        "at": entry["timestamp"],
        "question_id": None,
        "answer": None,
    }


def test_what_was_not_heard_is_told_again_with_the_next_report_until_it_is_obeyed(place: Workplace) -> None:
    flow_id = running(place)
    ask(place, flow_id, "pause")
    first = eventually(lambda: told(place, flow_id))
    place.redis.delete(told_key(OURS.client_account_id, OURS.engagement_id))
    tell(place, flow_id, FlowRetried)
    assert eventually(lambda: told(place, flow_id)) == first
    place.redis.delete(told_key(OURS.client_account_id, OURS.engagement_id))
    tell(place, flow_id, StatusChanged, status="paused")
    tell(place, flow_id, FlowRetried)
    assert told(place, flow_id) == []


@pytest.mark.parametrize("last_id", ["18446744073709551615-18446744073709551615", f"{10**15}-0", None])
def test_no_stream_that_takes_no_word_keeps_a_flow_from_being_told(
    place: Workplace, last_id: str | None
) -> None:
    flow_id, key = running(place), told_key(OURS.client_account_id, OURS.engagement_id)
    place.redis.delete(key)
    if last_id:
        place.redis.xadd(key, {"flow_id": "x", "message": "x"}, id=last_id)
    else:
        place.redis.set(key, "x")
    assert ask(place, flow_id, "pause") == "accepted"
    eventually(lambda: place.redis.type(key) == "stream" and told(place, flow_id))
    ids: Any = [entry_id for entry_id, _ in place.redis.xrange(key)]
    assert all(int(one.partition("-")[0]) <= time.time() * 1000 + 5_000 for one in ids)


def test_an_answer_is_told_until_the_process_has_taken_it(place: Workplace) -> None:
    flow_id, question_id = running(place), uuid4()
    question = {"event_id": question_id, "key": "mapping", "question": "Approve?", "options": ("yes", "no")}
    tell(place, flow_id, QuestionAsked, **question)
    request_id = uuid4()
    assert ask(place, flow_id, "answer", answer="yes", request_id=request_id) == "accepted"
    [message] = eventually(lambda: told(place, flow_id))
    assert (message["action"], message["question_id"], message["answer"]) == (
        "answer",
        str(question_id),
        "yes",
    )
    # Restarted, the process asks again: the same question, which is answered already.
    place.redis.delete(told_key(OURS.client_account_id, OURS.engagement_id))
    tell(place, flow_id, QuestionAsked, **question)
    assert eventually(lambda: told(place, flow_id)) == [message]
    place.redis.delete(told_key(OURS.client_account_id, OURS.engagement_id))
    tell(place, flow_id, QuestionSettled, question_id=question_id, outcome="answered", request_id=request_id)
    tell(place, flow_id, FlowRetried)
    assert told(place, flow_id) == []
    with pytest.raises(RequestRefused, match="answered by ann already"):
        ask(place, flow_id, "answer", answer="no", by="bob")
    assert ask(place, flow_id, "answer", answer="yes", request_id=request_id) == "accepted"


def test_a_process_that_asks_again_is_told_since_when_and_that_nobody_answered_in_time(
    place: Workplace,
) -> None:
    flow_id, question_id = running(place), uuid4()
    key, question = told_key(OURS.client_account_id, OURS.engagement_id), {"key": "k", "question": "Approve?"}
    tell(place, flow_id, QuestionAsked, event_id=question_id, **question)
    assert told(place, flow_id) == []
    [first] = control(place, flow_id)
    tell(place, flow_id, QuestionAsked, event_id=question_id, **question)
    [message] = eventually(lambda: told(place, flow_id))
    assert (message["action"], message["question_id"], message["at"], message["outcome"]) == (
        "asked",
        str(question_id),
        first["timestamp"],
        None,
    )
    tell(place, flow_id, QuestionSettled, question_id=question_id, outcome="timed_out")
    place.redis.delete(key)
    tell(place, flow_id, QuestionAsked, event_id=question_id, **question)
    [message] = eventually(lambda: told(place, flow_id))
    assert (message["action"], message["outcome"]) == ("asked", "timed_out")


def test_an_answer_that_came_second_is_told_so(place: Workplace) -> None:
    flow_id = running(place)
    tell(place, flow_id, QuestionAsked, event_id=uuid4(), key="mapping", question="Approve?")
    outcomes: list[str] = []

    async def give() -> None:
        async def one(by: str) -> None:
            try:
                outcomes.append(await asyncio.to_thread(ask, place, flow_id, "answer", by=by, answer=by))
            except RequestRefused as error:
                outcomes.append(type(error).__name__)

        await asyncio.gather(*(one(f"user {number}") for number in range(4)))

    asyncio.run(give())
    assert outcomes.count("accepted") == 1
    assert set(outcomes) <= {"accepted", RequestRefused.__name__, AnsweredAlready.__name__}
    answers = [entry for entry in control(place, flow_id) if entry["kind"] == "answer"]
    assert len(answers) == 1


def test_a_flow_that_waits_for_a_human_is_cancelled_at_once_and_its_process_told_nevertheless(
    place: Workplace,
) -> None:
    flow_id = running(place)
    tell(place, flow_id, StatusChanged, status="waiting_for_approval")
    assert ask(place, flow_id, "cancel", reason="wrong file") == "accepted"
    row = place.row(flow_id)
    assert row["flow_status"] == "cancelled"
    assert row["flow_metadata"]["cancelled_by"] == "ann"
    assert row["flow_metadata"]["cancel_reason"] == "wrong file"
    assert [message["action"] for message in eventually(lambda: told(place, flow_id))] == ["cancel"]


def test_a_flow_that_was_closed_by_hand_says_who_did(place: Workplace) -> None:
    flow_id = running(place)
    assert ask(place, flow_id, "fail", reason="its host is gone") == "accepted"
    row = place.row(flow_id)
    assert row["flow_status"] == "failed"
    assert row["error_history"][-1]["error"] == "Closed by ann: its host is gone"


def message_of(flow_id: UUID, kind: Any = ControlRequested, **fields: Any) -> RequestMessage:
    whole = {"action": "pause", "by": "ann", **fields} if kind is ControlRequested else fields
    event = new_event(kind, OURS, flow_id, **whole)
    return RequestMessage(
        request_id=str(event.event_id),
        client_account_id=str(OURS.client_account_id),
        events=f"[{event.model_dump_json()}]",
        signed_at=to_microseconds(datetime.now(UTC)),
    )


def forged(place: Workplace, message: RequestMessage) -> RequestMessage:
    """Sign as an orchestrator could, which holds its account's keys."""
    own = QueueSettings.model_validate({"ENRICHMENT_WORKER_KEYS": json.dumps(ACCOUNT_KEYS)})
    return message.signed(own)


_FORGERIES: dict[str, Callable[[Workplace, RequestMessage], RequestMessage]] = {
    "unsigned": lambda _, message: message,
    "by an orchestrator": forged,
    "too long ago": lambda place, message: replace(message, signed_at=1_000).signed(place.settings),
    "changed": lambda place, message: replace(
        message.signed(place.settings), events=message.events.replace("ann", "bob")
    ),
}


@pytest.mark.parametrize("how", _FORGERIES)
def test_nobody_without_a_key_of_the_operators_asks_for_anything(place: Workplace, how: str) -> None:
    flow_id = running(place)
    message = _FORGERIES[how](place, message_of(flow_id))
    before = len(place.letters(Selection(reason="signature_invalid")))
    kwargs: dict[str, Any] = message.kwargs()
    place.send_task("enrichment.apply_request", **kwargs)
    eventually(lambda: len(place.letters(Selection(reason="signature_invalid"))) > before)
    assert control(place, flow_id) == []


def test_a_batch_says_nothing_in_the_name_of_people_but_its_own_budget(place: Workplace) -> None:
    flow_id = running(place)
    for by in ("ann", "budget"):
        tell(place, flow_id, ControlRequested, action="cancel", by=by)
    assert [entry["by"] for entry in control(place, flow_id)] == ["budget"]
    assert [letter.reason for letter in place.letters(Selection(flow_id=str(flow_id)))] == [
        "signature_invalid"
    ]


def test_a_request_carries_nothing_but_itself_and_the_end_of_its_flow(place: Workplace) -> None:
    flow_id = running(place)
    for message in (
        message_of(flow_id, StatusChanged, status="completed"),
        message_of(flow_id, FlowRetried),
        replace(message_of(flow_id), request_id=str(uuid4())),
    ):
        place.publisher.ask(message)
    eventually(lambda: len(place.letters(Selection(reason="invalid"))) == 3)
    assert place.row(flow_id)["flow_status"] == "processing"
    assert control(place, flow_id) == []
