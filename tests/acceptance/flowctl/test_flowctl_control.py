"""`flowctl flow cancel|pause|resume|answer|fail` and `flowctl inbox`, with a worker."""

import getpass
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import QuestionAsked, StatusChanged, new_event
from masterflow.scripts.embedded import EmbeddedRedis
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database

Flowctl = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(postgres_server: str, database_template: str, server_folder: Path) -> Iterator[Workplace]:
    folder = server_folder / f"workplace-{uuid4().hex}"
    with (
        temporary_database(postgres_server, template=database_template) as database_url,
        EmbeddedRedis(folder / "redis") as server,
    ):
        place = Workplace(folder, database_url=database_url, redis_url=server.url)
        with place.worker():
            yield place
    server.remove()
    place.remove()


@pytest.fixture
def context() -> FlowContext:
    return new_context()


@pytest.fixture
def run(flowctl: Flowctl, place: Workplace, context: FlowContext, monkeypatch: pytest.MonkeyPatch) -> Flowctl:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.setenv(name, place.environment[name])
    monkeypatch.setenv("FLOWCTL_CLIENT", str(context.client_account_id))
    monkeypatch.setenv("FLOWCTL_ENGAGEMENT", str(context.engagement_id))
    return flowctl


def tell(place: Workplace, context: FlowContext, flow_id: UUID, *story: tuple[Any, dict[str, Any]]) -> None:
    sender_id = uuid4().hex
    events = [new_event(kind, context, flow_id, **fields) for kind, fields in story]
    place.publish(events, context, sender_id=sender_id)
    eventually(lambda: place.confirmations(sender_id))


def asking(place: Workplace, context: FlowContext, *keys: str, **question: Any) -> UUID:
    flow_id = place.new_flow(context)
    fields = {"question": "Approve the mapping?", **question}
    questions = [(QuestionAsked, {"event_id": uuid4(), "key": key, **fields}) for key in keys]
    tell(place, context, flow_id, *questions, (StatusChanged, {"status": "waiting_for_approval"}))
    return flow_id


def control(place: Workplace, flow_id: UUID) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = place.row(flow_id)["flow_metadata"]["control"]
    return found


def test_a_flow_is_cancelled_by_whom_the_system_knows(
    run: Flowctl, place: Workplace, context: FlowContext
) -> None:
    flow_id = asking(place, context, "mapping")
    code, said, complained = run("flow", "cancel", flow_id, "--reason", "the wrong file")
    assert (code, complained) == (0, "")
    assert said.startswith("The flow is asked to stop")
    row = place.row(flow_id)
    assert row["flow_status"] == "cancelled"
    assert row["flow_metadata"]["cancelled_by"] == getpass.getuser()
    assert row["flow_metadata"]["cancel_reason"] == "the wrong file"
    code, said, complained = run("flow", "cancel", flow_id)
    assert (code, said) == (1, "")
    assert complained == "The flow is cancelled; nothing can be asked of it any more.\n"


def test_a_flow_is_paused_and_resumed_in_the_name_of_somebody(
    run: Flowctl, place: Workplace, context: FlowContext
) -> None:
    flow_id = place.new_flow(context)
    tell(place, context, flow_id, (StatusChanged, {"status": "processing"}))
    request_id = str(uuid4())
    for _ in range(2):  # the second time it is the same
        code, said, _ = run("flow", "pause", flow_id, "--by", "ann", "--request-id", request_id, "--json")
        assert code == 0
        assert json.loads(said) == {"request_id": request_id, "state": "accepted"}
    assert run("flow", "resume", flow_id, "--by", "bob")[0] == 0
    assert [(entry["kind"], entry["by"]) for entry in control(place, flow_id)] == [
        ("pause", "ann"),
        ("resume", "bob"),
    ]


def test_what_a_flow_asks_is_in_the_inbox_until_it_is_answered(
    run: Flowctl, place: Workplace, context: FlowContext
) -> None:
    assert run("inbox")[1] == "No flow waits for anybody.\n"
    flow_id = asking(place, context, "mapping", "rows")
    said = run("inbox")[1]
    assert "mapping: Approve the mapping?" in said
    assert str(flow_id) in said
    [waiting] = json.loads(run("inbox", "--json")[1])
    assert [question["key"] for question in waiting["questions"]] == ["mapping", "rows"]
    code, _, complained = run("flow", "answer", flow_id, "--answer", "yes")
    assert code == 2
    assert "say which is answered: mapping, rows" in complained
    assert run("flow", "answer", flow_id, "--question", "mapping", "--answer", "yes")[0] == 0
    assert run("flow", "answer", flow_id, "--question", "rows", "--answer", '{"rows": 12}')[0] == 0
    assert [entry["answer"] for entry in control(place, flow_id) if entry["kind"] == "answer"] == [
        "yes",
        {"rows": 12},
    ]
    assert run("inbox")[1] == "No flow waits for anybody.\n"
    shown = run("flow", "show", flow_id)[1]
    assert "answered “Approve the mapping?”" in shown
    assert '{"rows": 12}' in shown
    code, _, complained = run("flow", "answer", flow_id, "--question", "rows", "--answer", "1")
    assert code == 1
    assert f"answered by {getpass.getuser()} already" in complained


def test_an_answer_that_is_no_option_is_a_misuse(
    run: Flowctl, place: Workplace, context: FlowContext
) -> None:
    flow_id = asking(place, context, "mapping", options=("approve", "reject"))
    code, _, complained = run("flow", "answer", flow_id, "--answer", "aprove")
    assert code == 2
    assert "none of the options: approve, reject" in complained


def test_a_flow_is_closed_by_hand(run: Flowctl, place: Workplace, context: FlowContext) -> None:
    flow_id = place.new_flow(context)
    tell(place, context, flow_id, (StatusChanged, {"status": "processing"}))
    assert run("flow", "fail", flow_id, "--reason", "its host is gone", "--by", "ann")[0] == 0
    assert place.row(flow_id)["error_history"][-1]["error"] == "Closed by ann: its host is gone"


@pytest.mark.parametrize("command", ["cancel", "pause", "resume", "fail"])
def test_a_flow_of_another_tenant_is_not_found(run: Flowctl, place: Workplace, command: str) -> None:
    flow_id = place.new_flow(new_context())
    code, said, complained = run("flow", command, flow_id)
    assert (code, said) == (1, "")
    assert f"There is no flow {flow_id}" in complained


def test_without_a_worker_it_says_how_to_ask_again(
    run: Flowctl,
    place: Workplace,
    context: FlowContext,
    own_redis: EmbeddedRedis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", own_redis.url)
    flow_id = place.new_flow(context)
    code, said, _ = run("flow", "cancel", flow_id)
    assert code == 1
    assert "No worker has taken the request yet" in said
    assert "--request-id" in said
