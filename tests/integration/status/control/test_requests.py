"""What people ask of flows over HTTP, without a worker: who may, what is refused, and what is sent."""

import base64
import json
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import pytest
import redis

from masterflow.domain import FlowContext
from masterflow.domain.events import ControlRequested, StatusChanged, parse_event
from masterflow.domain.redis_keys import queue_key
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import Sessions, flow_of
from tests.support.eventually import eventually
from tests.support.processes.status_site import StatusSite
from tests.support.rows.asked import answered, asked, entry, metadata, waiting

ACTIONS = ("cancel", "pause", "resume", "answer", "fail")
NOW = {"wait_s": "0"}


@pytest.fixture
def sent(redis_server: str) -> Callable[[UUID], list[dict[str, Any]]]:
    """What gives the messages about a flow that wait on the broker, as their task and its arguments."""
    client = redis.Redis.from_url(redis_server)

    def read(flow_id: UUID) -> list[dict[str, Any]]:
        found = []
        for text in client.lrange(queue_key("enrichment"), 0, -1):
            message = json.loads(text)
            body = base64.b64decode(message["body"])
            if message["headers"].get("compression"):
                body = zlib.decompress(body)
            kwargs = json.loads(body)[1]
            events = json.loads(kwargs["events"])
            if events[0]["flow_id"] == str(flow_id):
                found.append({"task": message["headers"]["task"], **kwargs, "events": events})
        return found[::-1]

    return read


def address(flow_id: UUID, action: str) -> str:
    return f"/api/v1/flows/{flow_id}/{action}"


def body_of(action: str) -> dict[str, Any]:
    return {"answer": "approve"} if action == "answer" else {}


@pytest.fixture
async def ann(site: StatusSite, context: FlowContext) -> AsyncIterator[httpx.AsyncClient]:
    async with site.client(context, may_control=True, user_id="ann") as client:
        yield client


@pytest.mark.parametrize("action", ACTIONS)
async def test_who_may_only_look_asks_for_nothing(
    site: StatusSite, sessions: Sessions, context: FlowContext, sent: Any, action: str
) -> None:
    flow_id = await flow_of(sessions, context, **waiting(asked()))
    path, body = address(flow_id, action), body_of(action)
    assert site.post(path, json=body).status_code == 401
    assert site.post(path, json=body, headers={"Authorization": "Bearer a.b.c"}).status_code == 401
    looker = site.post(path, json=body, headers=site.bearer(context))
    assert looker.status_code == 403
    assert "scope `control`" in looker.json()["detail"]
    assert sent(flow_id) == []


async def test_a_cookie_counts_only_where_one_of_our_own_pages_sent_it(
    site: StatusSite, sessions: Sessions, context: FlowContext, sent: Any
) -> None:
    flow_id = await flow_of(sessions, context, flow_status="processing")
    cookie = {"Cookie": f"enrichment_token={site.token(context, may_control=True)}"}
    host = site.url.removeprefix("http://")
    for origin in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": site.url},
        {"Sec-Fetch-Site": "none"},
    ):
        refused = site.post(address(flow_id, "cancel"), json={}, params=NOW, headers=cookie | origin)
        assert refused.status_code == 403, origin
    assert sent(flow_id) == []
    for origin in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": f"http://{host}"}):
        taken = site.post(address(flow_id, "pause"), json={}, params=NOW, headers=cookie | origin)
        assert taken.status_code == 202, origin


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_foreign_flow_is_one_that_does_not_exist(
    site: StatusSite, sessions: Sessions, context: FlowContext, sent: Any, action: str
) -> None:
    flow_id, nobodys = await flow_of(sessions, context, **waiting(asked())), uuid4()
    for stranger in (
        new_context(),
        context.model_copy(update={"engagement_id": uuid4()}),
        context.model_copy(update={"client_account_id": uuid4()}),
    ):
        headers = site.bearer(stranger, may_control=True)
        foreign = site.post(address(flow_id, action), json=body_of(action), headers=headers)
        missing = site.post(address(nobodys, action), json=body_of(action), headers=headers)
        assert foreign.status_code == missing.status_code == 404
        assert foreign.text.replace(str(flow_id), str(nobodys)) == missing.text
    assert sent(flow_id) == []


async def test_a_request_is_sent_with_who_asked_and_why_and_is_the_same_again_under_its_id(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext, sent: Any
) -> None:
    flow_id, request_id = await flow_of(sessions, context, flow_status="processing"), str(uuid4())
    for _ in range(2):
        answer = await ann.post(
            address(flow_id, "pause"), params=NOW, json={"reason": "lunch", "request_id": request_id}
        )
        assert answer.status_code == 202
        assert answer.json() == {"request_id": request_id, "state": "sent"}
    first, again = sent(flow_id)
    assert first["task"] == "enrichment.apply_request"
    assert first["events"] == again["events"]
    [event] = map(parse_event, first["events"])
    assert isinstance(event, ControlRequested)
    assert (str(event.event_id), event.action, event.by, event.reason) == (
        request_id,
        "pause",
        "ann",
        "lunch",
    )
    assert (event.client_account_id, event.engagement_id) == (
        context.client_account_id,
        context.engagement_id,
    )


async def test_a_flow_that_no_process_has_is_cancelled_with_the_request(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext, sent: Any
) -> None:
    flow_id = await flow_of(sessions, context, **waiting(asked()))
    await ann.post(address(flow_id, "cancel"), params=NOW, json={"reason": "wrong file"})
    request, end = map(parse_event, sent(flow_id)[0]["events"])
    assert isinstance(end, StatusChanged)
    assert end.status == "cancelled"
    assert end.metadata == {
        "cancelled_by": "ann",
        "cancel_reason": "wrong file",
        "cancel_request": str(request.event_id),
    }


async def test_a_flow_is_closed_by_hand_with_an_error_that_says_who_did(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext, sent: Any
) -> None:
    flow_id = await flow_of(sessions, context, flow_status="processing")
    await ann.post(address(flow_id, "fail"), params=NOW, json={"reason": "its host is gone"})
    _, end, error = sent(flow_id)[0]["events"]
    assert end["status"] == "failed"
    assert error["error"] == "Closed by ann: its host is gone"


@pytest.mark.parametrize("status", ["completed", "cancelled"])
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_flow_that_is_over_is_asked_for_nothing(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext, sent: Any, action: str, status: str
) -> None:
    flow_id = await flow_of(sessions, context, **waiting(asked(), status=status))
    refused = await ann.post(address(flow_id, action), json=body_of(action))
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:enrichment:problem:request_refused"
    assert f"The flow is {status}" in refused.json()["detail"]
    assert sent(flow_id) == []


SCHEMA = {
    "type": "object",
    "properties": {"rows": {"type": "integer", "minimum": 1}},
    "required": ["rows"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("question", "answer", "detail"),
    [
        ({"options": ["approve", "reject"]}, "aprove", "none of the options: approve, reject."),
        ({"options": ["approve", "reject"]}, ["approve"], "none of the options"),
        ({"answer_schema": SCHEMA}, {}, "'rows' is missing."),
        ({"answer_schema": SCHEMA}, {"rows": "2"}, "'rows' must be of the type integer."),
        ({"answer_schema": SCHEMA}, {"rows": 0}, "'rows' must be at least 1."),
        ({}, "x" * 2_001, "at most 2,000 bytes"),
    ],
    ids=["no option", "a list of one", "nothing", "a text", "too low", "too long"],
)
async def test_an_answer_of_the_wrong_form_is_refused_with_the_reason(
    ann: httpx.AsyncClient,
    sessions: Sessions,
    context: FlowContext,
    sent: Any,
    question: dict[str, Any],
    answer: Any,
    detail: str,
) -> None:
    flow_id = await flow_of(sessions, context, **waiting(asked(**question)))
    refused = await ann.post(address(flow_id, "answer"), json={"answer": answer})
    assert refused.status_code == 422, refused.text
    assert detail in refused.json()["detail"]
    assert sent(flow_id) == []


async def test_a_question_that_is_over_takes_no_answer(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext, sent: Any
) -> None:
    done, late, gone = asked(key="done"), asked(key="late"), asked(key="gone")
    past = asked(key="past", expires_at="2026-01-01T00:00:00+00:00")
    flow_id = await flow_of(
        sessions,
        context,
        **waiting(
            done,
            late,
            gone,
            past,
            answered(done, "bob", "approve"),
            entry("settled", question_id=late["id"], outcome="timed_out"),
            entry("settled", question_id=gone["id"], outcome="withdrawn"),
        ),
    )
    reasons = {
        "done": "answered by bob already",
        "late": "nobody answered in time",
        "gone": "needs no answer any more",
        "past": "nobody answered in time",
        "none": "asks no such question",
    }
    for key, reason in reasons.items():
        refused = await ann.post(address(flow_id, "answer"), json={"answer": "x", "question": key})
        assert refused.status_code == 409, key
        assert reason in refused.json()["detail"], key
    assert sent(flow_id) == []


async def test_of_several_questions_one_has_to_be_named(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext, sent: Any
) -> None:
    one, two = asked(key="one"), asked(key="two", after_s=1)
    flow_id = await flow_of(sessions, context, **waiting(one, two))
    unclear = await ann.post(address(flow_id, "answer"), json={"answer": 1}, params=NOW)
    assert unclear.status_code == 422
    assert "say which is answered: one, two" in unclear.json()["detail"]
    for name in ("two", one["id"]):
        taken = await ann.post(address(flow_id, "answer"), json={"answer": 1, "question": name}, params=NOW)
        assert taken.status_code == 202
    assert [it["events"][0]["question_id"] for it in sent(flow_id)] == [two["id"], one["id"]]


async def test_of_two_answers_at_once_one_is_sent_and_the_other_is_told_who_was_first(
    site: StatusSite, sessions: Sessions, context: FlowContext, sent: Any
) -> None:
    flow_id = await flow_of(sessions, context, **waiting(asked()))
    answers: list[httpx.Response] = []

    async def give(who: str) -> None:
        async with site.client(context, may_control=True, user_id=who) as client:
            answers.append(await client.post(address(flow_id, "answer"), params=NOW, json={"answer": who}))

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(give, f"user {number}")
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 7]
    [message] = sent(flow_id)
    winner = message["events"][0]["by"]
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["detail"] == f"{winner} answered this a moment ago."
            assert answer.json()["type"] == "urn:enrichment:problem:answered_already"


async def test_an_answer_that_the_broker_did_not_take_keeps_nobody_from_answering(
    site: StatusSite,
    sessions: Sessions,
    context: FlowContext,
    sent: Any,
    tmp_path: Path,
    site_and_database: tuple[StatusSite, str],
    redis_server: str,
) -> None:
    flow_id = await flow_of(sessions, context, **waiting(asked()))
    nowhere = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    headers = {who: site.bearer(context, may_control=True, user_id=who) for who in ("ann", "bob")}
    with StatusSite(
        tmp_path, database_url=site_and_database[1], redis_url=redis_server, **nowhere
    ) as cut_off:
        lost = cut_off.post(address(flow_id, "answer"), json={"answer": 1}, headers=headers["ann"])
    assert lost.status_code == 503
    assert lost.json()["type"] == "urn:enrichment:problem:broker_unavailable"

    def taken() -> bool:
        body = {"answer": 2}
        given = site.post(address(flow_id, "answer"), json=body, params=NOW, headers=headers["bob"])
        return given.status_code == 202

    eventually(taken)
    assert [it["events"][0]["by"] for it in sent(flow_id)] == ["bob"]


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x" * 501},
        {"reason": 1},
        {"request_id": "none"},
        {"more": 1},
        [],
    ],
    ids=str,
)
async def test_a_body_that_is_not_understood_is_refused(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext, body: Any
) -> None:
    flow_id = await flow_of(sessions, context, flow_status="processing")
    assert (await ann.post(address(flow_id, "cancel"), json=body)).status_code == 422


async def test_the_id_of_one_request_is_not_taken_for_another(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext
) -> None:
    paused = entry("pause", by="bob")
    flow_id = await flow_of(sessions, context, **waiting(paused, status="paused"))
    same = await ann.post(address(flow_id, "pause"), json={"request_id": paused["id"]})
    assert (same.status_code, same.json()["state"]) == (200, "accepted")
    other = await ann.post(address(flow_id, "cancel"), json={"request_id": paused["id"]})
    assert other.status_code == 422
    assert "take a new id" in other.json()["detail"]


async def test_requests_and_questions_stand_in_the_status_of_a_flow(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext
) -> None:
    question, second = asked(options=["approve", "reject"]), asked(key="rows", after_s=5)
    columns = waiting(
        entry("pause", by="bob", reason="lunch", after_s=-20),
        entry("resume", by="cleo", after_s=-10),
        question,
        second,
        answered(second, "bob", 12),
    )
    flow_id = await flow_of(sessions, context, **columns)
    status = (await ann.get(f"/api/v1/flows/{flow_id}/status")).json()
    assert [(it["action"], it["by"], it["reason"]) for it in status["requests"]] == [
        ("answer", "bob", None),
        ("resume", "cleo", None),
        ("pause", "bob", "lunch"),
    ]
    first, other = status["questions"]
    assert (first["key"], first["state"], first["options"]) == ("mapping", "open", ["approve", "reject"])
    assert (other["state"], other["answer"], other["answered_by"]) == ("answered", 12, "bob")
    assert status["possible_actions"] == ["cancel"]


async def test_the_inbox_shows_who_waits_for_what_the_longest_wait_first_page_by_page(
    ann: httpx.AsyncClient, sessions: Sessions, context: FlowContext, site: StatusSite
) -> None:
    open_question = asked("Which rows?", key="rows", after_s=7)
    taken = asked(key="taken")
    flows = {
        "second": waiting(asked(), since_s=20),
        "first": waiting(status="paused", since_s=10),
        "third": waiting(entry("pause", by="bob", reason="lunch"), status="paused", since_s=30),
        "asks while it runs": {"flow_status": "processing", "flow_metadata": metadata(open_question)},
        "is answered": waiting(taken, answered(taken, "bob", 1), since_s=5),
        "goes on": waiting(entry("pause", by="bob"), entry("resume", by="bob", after_s=9), status="paused"),
        "runs": {"flow_status": "processing"},
        "is over": waiting(asked(), status="completed"),
    }
    ids = {name: str(await flow_of(sessions, context, **columns)) for name, columns in flows.items()}
    await flow_of(sessions, new_context(), **waiting(asked()))
    found, cursor = [], None
    for _ in range(10):
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await ann.get("/api/v1/inbox", params=params)).json()
        found += page["waiting"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    names = {flow_id: name for name, flow_id in ids.items()}
    assert [names[it["flow_id"]] for it in found] == ["asks while it runs", "first", "second", "third"]
    assert [[q["question"] for q in it["questions"]] for it in found] == [
        ["Which rows?"],
        [],
        ["Approve the mapping?"],
        [],
    ]
    assert found[3]["paused"]["by"] == "bob"
    looker = site.get("/api/v1/inbox", headers=site.bearer(context))
    assert [it["flow_id"] for it in looker.json()["waiting"]] == [it["flow_id"] for it in found]
