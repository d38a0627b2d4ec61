import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    FlowRetried,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
)
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.status import views
from masterflow.status.api import control
from masterflow.status.control import views as control_views
from masterflow.status.fleet import views as fleet_views
from masterflow.status.flow import compare, usual
from masterflow.status.listing import counts
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import Sessions, flow_of, report
from tests.support.eventually import eventually
from tests.support.processes.status_site import PROBE_TOKEN, StatusSite

_DETAILS = ("status", "timeline", "errors", "activity", "events")


async def test_a_status_tells_what_the_master_row_knows(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await flow_of(sessions, context)
    await report(
        sessions,
        context,
        flow_id,
        (PhaseTransitioned, {"phase": "data_import", "status": "processing"}),
        (PhaseTimed, {"phase": "data_import", "execution_time_ms": 1234.5}),
        (PhaseTransitioned, {"phase": "data_import", "status": "completed"}),
        (PhaseTransitioned, {"phase": "field_mapping_approval", "status": "processing"}),
        (ErrorOccurred, {"phase": "data_import", "error": "no such file"}),
        (FlowRetried, {}),
        (AgentCollaborated, {"entry": {"agent": "Schema Expert"}}),
        (ProgressReported, {"snapshot": {"progress_percentage": 42, "message": "please check"}}),
        (StatusChanged, {"status": "waiting_for_approval"}),
    )
    status = site.get(f"/api/v1/flows/{flow_id}/status", headers=site.bearer(context)).json()
    assert status["status"] == "waiting_for_approval"
    assert status["current_phase"] == "field_mapping_approval"
    assert status["progress_percentage"] == 42
    assert status["phases"] == {"data_import": "completed", "field_mapping_approval": "processing"}
    assert status["phase_details"][0] | {"completed_at": ""} == {
        "phase": "data_import",
        "status": "completed",
        "execution_time_ms": 1234.5,
        "attempts": 1,
        "completed_at": "",
    }
    counts = ("transition_count", "error_count", "collaboration_count", "retry_count")
    assert [status[name] for name in counts] == [3, 1, 1, 1]
    assert status["waiting_for_approval"]["message"] == "please check"
    since = datetime.fromisoformat(status["waiting_for_approval"]["since"])
    assert abs(datetime.now(UTC) - since) < timedelta(seconds=30)
    assert status["child_flow_status"] is None


async def test_the_child_row_is_told_in_a_few_words_if_asked_for(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await flow_of(sessions, context)
    async with sessions.begin() as db:
        await db.execute(
            text(
                "insert into migration.discovery_flows"
                " (id, flow_id, client_account_id, engagement_id, user_id, flow_name,"
                " current_phase, progress_percentage, data_import_completed, discovered_assets,"
                " crewai_state_data)"
                " values"
                " (gen_random_uuid(), :flow_id, :client_account_id, :engagement_id, 'ann', 'child',"
                " 'inventory', 16.6, true, '[1, 2, 3]', '{\"raw\": \"the document\"}')"
            ),
            {"flow_id": flow_id, **context.model_dump(exclude={"user_id"})},
        )
    path = f"/api/v1/flows/{flow_id}/status?include_details=true"
    response = site.get(path, headers=site.bearer(context))
    child = response.json()["child_flow_status"]
    assert (child["completed_phases"], child["discovered_assets"], child["current_phase"]) == (
        1,
        3,
        "inventory",
    )
    assert "the document" not in response.text
    stranger = new_context().model_copy(update={"client_account_id": context.client_account_id})
    assert site.get(path, headers=site.bearer(stranger)).status_code == 404


async def test_bookkeeping_and_heavy_data_are_never_shown(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await flow_of(sessions, context, flow_persistence_data={"raw_data": "heavy-data"})
    await report(sessions, context, flow_id, (StatusChanged, {"status": "processing"}), (FlowRetried, {}))
    for path in ["", *(f"/{flow_id}/{name}" for name in _DETAILS[:-1])]:
        shown = site.get(f"/api/v1/flows{path}", headers=site.bearer(context)).text
        assert str(flow_id) in shown
        assert "_enrichment" not in shown
        assert "heavy-data" not in shown


@pytest.mark.parametrize("what", ["errors", "activity"])
async def test_entries_say_in_which_trace_they_were_reported_and_where_it_is_looked_at(
    site: StatusSite, sessions: Sessions, context: FlowContext, what: str
) -> None:
    flow_id, trace = await flow_of(sessions, context), {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    error = (ErrorOccurred, {"phase": "p", "error": "no", "details": trace})
    await report(sessions, context, flow_id, error, (AgentCollaborated, {"entry": {"agent": "a"} | trace}))
    told = site.get(f"/api/v1/flows/{flow_id}/{what}", headers=site.bearer(context)).json()
    [entry] = told.get("errors") or told["collaborations"]
    assert (entry.get("details") or entry)["trace_id"] == trace["trace_id"]
    assert told["trace_url"] == "https://traces.example/{trace_id}"


async def test_a_timeline_has_bars_and_their_transitions(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await flow_of(sessions, context)
    steps = [
        ("processing", {}),
        ("paused", {"awaiting_approval": True}),
        ("processing", {}),
        ("completed", {}),
    ]
    told = [
        (PhaseTransitioned, {"phase": "p", "status": status, "metadata": facts}) for status, facts in steps
    ]
    await report(sessions, context, flow_id, *told)
    timeline = site.get(f"/api/v1/flows/{flow_id}/timeline", headers=site.bearer(context)).json()
    (bar,) = timeline["bars"]
    assert (bar["status"], bar["waits"][0]["for_approval"]) == ("completed", True)
    assert [entry["status"] for entry in timeline["transitions"]] == [status for status, _ in steps]


async def test_paging_shows_every_flow_once_also_with_equal_and_missing_times(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_ids = {str(await flow_of(sessions, context)) for _ in range(23)}
    async with sessions.begin() as db:
        await db.execute(
            text(
                "update migration.crewai_flow_state_extensions set created_at = case"
                " when get_byte(uuid_send(flow_id), 0) % 3 = 0 then null"
                " else date_trunc('day', now()) end where client_account_id = :account"
            ),
            {"account": context.client_account_id},
        )
    seen: list[str] = []
    cursor: dict[str, str] = {}
    async with site.client(context) as client:
        for _ in range(20):
            page = (await client.get("/api/v1/flows", params={"limit": 5, **cursor})).json()
            seen += [flow["flow_id"] for flow in page["flows"]]
            if not page["next_cursor"]:
                break
            cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(flow_ids)
    assert set(seen) == flow_ids


async def test_filters_find_what_they_say(site: StatusSite, sessions: Sessions, context: FlowContext) -> None:
    failed = await flow_of(sessions, context, flow_status="failed")
    mapped = await flow_of(
        sessions, context, flow_metadata={"phase_transitions": ["a:completed", "b_x:processing"]}
    )
    async with sessions.begin() as db:
        name = text(
            "update migration.crewai_flow_state_extensions set flow_name = :name where flow_id = :flow"
        )
        await db.execute(name, {"name": "100 % Übergabe_x", "flow": mapped})

    def found(**params: Any) -> list[str]:
        answer = site.get("/api/v1/flows", headers=site.bearer(context), params=params)
        assert answer.is_success, answer.text
        return [flow["flow_id"] for flow in answer.json()["flows"]]

    assert found(status="failed") == [str(failed)]
    assert found(status=["failed", "initialized"], type="discovery") == [str(mapped), str(failed)]
    assert found(type="finops") == []
    assert found(phase="b_x") == [str(mapped)]
    assert found(text="Übergabe_") == [str(mapped)]
    assert found(text="BERGABE_X") == [str(mapped)]
    assert found(text="100 %") == [str(mapped)]
    assert found(text="1_0") == []
    assert found(text=str(failed)) == [str(failed)]
    assert found(since="2020-01-01T00:00:00") == [str(mapped), str(failed)]
    assert found(since=(datetime.now(UTC) + timedelta(hours=1)).isoformat()) == []


# -- how it answers


def test_what_goes_wrong_is_a_problem_document(site: StatusSite, context: FlowContext) -> None:
    headers = site.bearer(context)
    for path, status in [
        (f"/api/v1/flows/{uuid4()}/status", 404),
        ("/api/v1/flows/no-uuid/status", 422),
        ("/api/v1/flows?limit=0", 422),
        ("/api/v1/flows?status=unheard", 422),
        ("/api/v1/flows?cursor=AAAA", 422),
        ("/api/v1/flows?cursor=%F0%9F%98%80", 422),
        ("/api/v1/nowhere", 404),
        (f"/api/v1/flows?text={'x' * 10_000}", 414),
    ]:
        answer = site.get(path, headers=headers)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert problem["type"].startswith("urn:enrichment:problem:")
        assert problem["detail"]


@pytest.mark.parametrize(
    "path", ["/api/v1/flows", "/flows", "/signin", "/api/v1/nowhere", "/assets/page.js", "/health/live"]
)
def test_every_answer_keeps_browsers_safe(site: StatusSite, context: FlowContext, path: str) -> None:
    headers = site.get(path, headers=site.bearer(context)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


def test_a_big_body_is_refused_before_it_is_read(site: StatusSite) -> None:
    with httpx.Client(base_url=site.url, trust_env=False, verify=False) as client:
        assert client.post("/signin", content=b"x" * 20_000).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)
def test_another_site_can_neither_sign_in_nor_out(
    site: StatusSite, context: FlowContext, headers: dict[str, str]
) -> None:
    with httpx.Client(base_url=site.url, trust_env=False, verify=False, headers=headers) as client:
        for path in ("/signin", "/signout"):
            answer = client.post(path, data={"token": site.token(context)})
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers


def test_a_sign_in_is_a_cookie_that_scripts_and_other_sites_do_not_get(
    site: StatusSite, context: FlowContext
) -> None:
    with httpx.Client(
        base_url=site.url, trust_env=False, verify=False, headers={"Origin": site.url}
    ) as client:
        cookie = client.post("/signin", data={"token": site.token(context)}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert client.get("/flows").is_success
        assert client.get("/api/v1/flows").is_success
        client.post("/signout")
        assert client.get("/flows").status_code == 401


def test_a_sign_in_link_works_once(
    tmp_path: Path, database_url: str, redis_url: str, context: FlowContext, site: StatusSite
) -> None:
    code = {"ENRICHMENT_STATUS_SIGNIN_CODE": "c" * 20, "ENRICHMENT_STATUS_SIGNIN_TOKEN": site.token(context)}
    with StatusSite(tmp_path, database_url=database_url, redis_url=redis_url, **code) as own:
        first = own.get("/signin", params={"code": "c" * 20})
        assert first.status_code == 200
        assert "enrichment_token=" in first.headers["set-cookie"]
        second = own.get("/signin", params={"code": "c" * 20})
        assert second.status_code == 401
        assert "set-cookie" not in second.headers


def test_who_asks_too_often_is_told_when_to_go_on(
    tmp_path: Path, database_url: str, redis_url: str, context: FlowContext
) -> None:
    rate = {"ENRICHMENT_STATUS_RATE_PER_S": "1"}
    with StatusSite(tmp_path, database_url=database_url, redis_url=redis_url, **rate) as own:
        answers = [own.get("/api/v1/flows", headers=own.bearer(context)) for _ in range(7)]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert int(answers[-1].headers["retry-after"]) > 0
        assert own.get("/api/v1/flows", headers=own.bearer(new_context())).is_success


async def test_a_report_is_one_file_without_scripts_or_links(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await flow_of(sessions, context)
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    await report(
        sessions,
        context,
        flow_id,
        (PhaseTransitioned, {"phase": hostile, "status": "processing"}),
        (ErrorOccurred, {"phase": hostile, "error": hostile}),
    )
    answer = site.get(f"/flows/{flow_id}/report", headers=site.bearer(context))
    assert answer.headers["content-disposition"] == f'attachment; filename="flow-{flow_id}.html"'
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert not re.search(r"""(?:src|href)=["'](?!#)""", answer.text)


def test_every_operation_is_described_with_its_problems(site: StatusSite, context: FlowContext) -> None:
    document = site.get("/api/v1/openapi.json", headers=site.bearer(context)).json()
    assert document["security"] == [{"token": []}]
    for path, item in document["paths"].items():
        [(method, operation)] = item.items()
        assert operation["description"], path
        if path.startswith("/api/"):
            of_one_flow = {"404"} if "{flow_id}" in path else set()
            of_sending = {"202", "400", "403", "409", "413"} if method == "post" else set()
            of_cursor = {"409"} if path == "/api/v1/flows" else set()
            statuses = {"200", "401", "422", "429", "503"} | of_one_flow | of_sending | of_cursor
            assert operation["responses"].keys() == statuses, path
        for status, answer in operation["responses"].items():
            assert status in {"200", "202"} or answer["content"].keys() == {"application/problem+json"}, path


def test_every_answer_has_an_example_that_is_one(site: StatusSite, context: FlowContext) -> None:
    document = site.get("/api/v1/openapi.json", headers=site.bearer(context)).json()
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    answers = [operation["responses"]["200"]["content"] for operation in operations]
    answers += [body["content"] for operation in operations if (body := operation.get("requestBody"))]
    schemas = [answer["application/json"]["schema"] for answer in answers if "application/json" in answer]
    refs = [part["$ref"] for schema in schemas for part in schema.get("anyOf", [schema]) if "$ref" in part]
    names = {ref.rpartition("/")[2] for ref in refs}
    assert names == {
        *("FlowList", "FlowStatus", "Timeline", "Errors", "Activity", "Inbox"),
        *("Ask", "AnswerTo", "Sent", "FleetView", "FlowCounts", "Usual", "Comparison"),
    }
    modules = (views, control_views, control, fleet_views, counts, usual, compare)
    known = {name: model for module in modules for name, model in vars(module).items()}
    for name in names:
        [example] = document["components"]["schemas"][name]["examples"]
        read = known[name].model_validate(example)
        assert read.model_fields_set == known[name].model_fields.keys() == example.keys()


def test_without_postgres_it_says_so_and_recovers(
    tmp_path: Path, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, context: FlowContext
) -> None:
    probe = {"Authorization": f"Bearer {PROBE_TOKEN}"}
    with StatusSite(tmp_path, database_url=own_postgres.url, redis_url=own_redis.url) as own:
        headers = own.bearer(context)
        assert own.get("/health/ready", headers=probe).is_success
        own_postgres.stop()
        for path in ("/api/v1/flows", f"/api/v1/flows/{uuid4()}/status", "/api/v1/events"):
            answer = own.get(path, headers=headers)
            assert answer.status_code == 503, path
            assert "Postgres" in answer.json()["detail"]
            assert answer.headers["retry-after"]
        assert "Postgres" in own.get("/flows", headers=headers).text
        assert "Postgres" in own.get("/health/ready", headers=probe).json()["detail"]
        assert own.get("/health/live").is_success
        own_postgres.start()
        eventually(lambda: own.get("/api/v1/flows", headers=headers).is_success)
        own_redis.stop()
        ready = own.get("/health/ready", headers=probe)
        assert ready.status_code == 503
        assert "Redis" in ready.json()["detail"]
        assert "enrichment_redis_up 0.0" in own.get("/metrics", headers=probe).text
        assert own.get("/api/v1/flows", headers=headers).is_success
        own_redis.start()
        eventually(lambda: own.get("/health/ready", headers=probe).is_success)
