"""`flowctl flow list` takes the words of the list, finds what the API finds, and counts what it counts."""

import asyncio
import json
import sys
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import ErrorOccurred, PhaseTimed, StatusChanged
from masterflow.repository.database import session_factory
from masterflow.scripts.flowctl import main
from tests.support.events.reported_flows import flow_of, report
from tests.support.processes.status_site import StatusSite
from tests.support.servers.databases import engine_for

_FUTURE = "2050-01-01T00:00:00Z"


async def _flows(database_url: str, contexts: list[FlowContext]) -> dict[str, UUID]:
    engine = engine_for(database_url)
    sessions = session_factory(engine)
    failed, waiting, other = [await flow_of(sessions, context) for context in contexts]
    error = (ErrorOccurred, {"phase": "data_import", "error": "no answer in 3 s"})
    timed = (PhaseTimed, {"phase": "data_import", "execution_time_ms": 5.0})
    await report(sessions, contexts[0], failed, error, timed, (StatusChanged, {"status": "failed"}))
    await report(sessions, contexts[1], waiting, error, (StatusChanged, {"status": "paused"}))
    await engine.dispose()
    return {"failed": failed, "waiting": waiting, "other": other}


@pytest.fixture
def contexts(context: FlowContext) -> list[FlowContext]:
    """Two flows of one engagement, and one of another of the account."""
    return [context, context, context.model_copy(update={"engagement_id": uuid4()})]


@pytest.fixture
def flows(site_and_database: Any, contexts: list[FlowContext]) -> dict[str, UUID]:
    return asyncio.run(_flows(site_and_database[1], contexts))


@pytest.fixture
def listed(
    site_and_database: Any,
    redis_server: str,
    context: FlowContext,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Any:
    monkeypatch.setenv("DATABASE_URL", site_and_database[1])
    monkeypatch.setenv("REDIS_URL", redis_server)
    monkeypatch.setenv("COLUMNS", "200")

    def flowctl(*words: str, command: tuple[str, ...] = ("flow", "list")) -> str:
        client = str(context.client_account_id)
        monkeypatch.setattr(sys, "argv", ["flowctl", *command, "--client", client, *words])
        with pytest.raises(SystemExit):
            main()
        said = capfdbinary.readouterr()
        return (said.out + said.err).decode()

    return flowctl


def _ids(said: str) -> set[UUID]:
    return {UUID(flow["flow_id"]) for flow in json.loads(said)}


def test_times_of_what_ended_ran_and_failed_are_asked_for_as_over_http(
    flows: dict[str, UUID], listed: Any, site: StatusSite, context: FlowContext
) -> None:
    engagement = ("--engagement", str(context.engagement_id), "--json")
    failed, both = {flows["failed"]}, {flows["failed"], flows["waiting"]}
    for words, found in (
        ({"ended-until": _FUTURE}, failed),
        ({"ended-since": _FUTURE}, set()),
        ({"ran": "Data import", "ran-until": _FUTURE}, failed),
        ({"ran-since": _FUTURE}, set()),
        ({"seen-until": _FUTURE, "cause": "no answer in 77 s"}, both),
        ({"seen-since": _FUTURE}, set()),
    ):
        options = [part for name, value in words.items() for part in (f"--{name}", value)]
        assert _ids(listed(*options, *engagement)) == found, words
        params = {name.replace("-", "_"): value for name, value in words.items()}
        answer = site.get("/api/v1/flows", headers=site.bearer(context), params=params)
        assert {UUID(flow["flow_id"]) for flow in answer.json()["flows"]} == found, words


def test_one_command_lists_counts_and_tells_of_several_engagements_or_all(
    flows: dict[str, UUID], listed: Any, contexts: list[FlowContext]
) -> None:
    engagements = [str(one.engagement_id) for one in contexts[1:]]
    several = [part for one in engagements for part in ("--engagement", one)]
    for whose in (several, ["--all-engagements"]):
        assert _ids(listed(*whose, "--json")) == {*flows.values()}
        assert json.loads(listed(*whose, command=("fleet", "--json")))["in_all"]["started"] == 3
        assert len(json.loads(listed(*whose, command=("inbox", "--json")))) == 1
    assert f"of {engagements[1]}" in listed(*several)
    assert _ids(listed(*several[2:], "--json")) == {flows["other"]}
    assert "--all-engagements" in listed()


def test_counts_say_what_the_api_says(
    flows: dict[str, UUID], listed: Any, site: StatusSite, context: FlowContext
) -> None:
    engagement = ("--engagement", str(context.engagement_id), "--counts")
    for words, options in (({}, ()), ({"status": "paused"}, ("--status", "paused"))):
        answer = site.get("/api/v1/flows/counts", headers=site.bearer(context), params=words)
        assert json.loads(listed(*options, *engagement, "--json")) == answer.json()
    said = listed(*engagement)
    assert "of these: lost 0, silent 0, overdue 0, waiting 1" in said
    assert "2 with errors like: no answer in # s" in said
    assert len(flows) == 3
