"""One flow against others: API, page, terminal and files tell the same."""

import asyncio
import csv
import io
import json
import sys
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import ErrorOccurred, PhaseTimed, StatusChanged, UsageReported
from masterflow.domain.usage.amounts import Usage, UsageCounted
from masterflow.repository.database import session_factory
from masterflow.repository.sql import statement
from masterflow.scripts.flowctl import main
from tests.support.events.reported_flows import Sessions, flow_of, report, told
from tests.support.processes.status_site import StatusSite
from tests.support.servers.databases import engine_for

_FORMULA = '=HYPERLINK("https://evil.example", "open")'
_USED = Usage(3, 4_000, 900, 12_500_000, 0)


async def _past(sessions: Sessions, context: FlowContext, import_ms: int) -> UUID:
    """A flow that completed, and took twice as long as its only phase."""
    flow_id = await flow_of(sessions, context)
    moved = (
        "update migration.crewai_flow_state_extensions set created_at = now() - make_interval(secs => :s)"
        " where flow_id = :flow_id"
    )
    async with sessions.begin() as db:
        await db.execute(text(moved), {"s": 2 * import_ms / 1000, "flow_id": flow_id})
    timed = PhaseTimed, {"phase": "data_import", "execution_time_ms": float(import_ms)}
    await report(sessions, context, flow_id, timed, (StatusChanged, {"status": "completed"}))
    return flow_id


async def _slow(sessions: Sessions, context: FlowContext) -> UUID:
    usage = {"agent": "Ann", "model": "small", "used": _USED}
    counted = UsageCounted(by="process-0001", agent=_USED, flow=_USED)
    flow_id = await flow_of(sessions, context)
    await report(
        sessions,
        context,
        flow_id,
        (PhaseTimed, {"phase": "data_import", "execution_time_ms": 31_000.0}),
        *((ErrorOccurred, {"phase": "data_import", "error": f"no answer in {n} s"}) for n in (3, 4, 5)),
        (ErrorOccurred, {"phase": "data_import", "error": _FORMULA}),
        (UsageReported, {**usage, "counted": counted}),
        told("field_mapping", "processing"),
        (StatusChanged, {"status": "processing"}),
    )
    return flow_id


async def _flows(database_url: str, context: FlowContext) -> tuple[UUID, UUID]:
    engine = engine_for(database_url)
    try:
        sessions = session_factory(engine)
        past = [await _past(sessions, context, 1_000 * n) for n in range(1, 21)]
        foreign = context.model_copy(update={"engagement_id": uuid4()})
        await _past(sessions, foreign, 10_000_000)
        return await _slow(sessions, context), past[-1]
    finally:
        await engine.dispose()


@pytest.fixture
def flows(site_and_database: tuple[StatusSite, str], context: FlowContext) -> tuple[UUID, UUID]:
    """A slow flow among twenty that took 1 to 20 s; and one of these."""
    return asyncio.run(_flows(site_and_database[1], context))


@pytest.fixture
def terminal(
    site_and_database: tuple[StatusSite, str],
    redis_server: str,
    context: FlowContext,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: Any,
) -> Any:
    monkeypatch.setenv("DATABASE_URL", site_and_database[1])
    monkeypatch.setenv("REDIS_URL", redis_server)
    tenant = ["--client", str(context.client_account_id), "--engagement", str(context.engagement_id)]

    def flowctl(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["flowctl", "flow", *map(str, words), *tenant])
        with pytest.raises(SystemExit):
            main()
        said: str = capfdbinary.readouterr().out.decode()
        return said

    return flowctl


def _page(site: StatusSite, context: FlowContext, path: str) -> str:
    return site.get(path, headers={"Cookie": f"enrichment_token={site.token(context)}"}).text


def test_times_are_compared_with_those_of_other_flows_and_with_no_others(
    flows: tuple[UUID, UUID], site: StatusSite, context: FlowContext, terminal: Any
) -> None:
    slow, fast = flows
    found = site.get(f"/api/v1/flows/{slow}/usual", headers=site.bearer(context)).json()
    imported = found["phases"][0]
    assert (imported["flows"], imported["p50_ms"], imported["p95_ms"]) == (20, 10_000, 19_000)
    assert (imported["times_p95"], imported["is_slower"]) == (1.63, True)
    mapping = found["phases"][1]
    assert (mapping["flows"], mapping["p95_ms"], mapping["is_running"]) == (0, None, True)
    whole = found["whole"]
    assert whole["p50_ms"] == pytest.approx(20_000, rel=0.2)
    # What it still takes, as the others took it: from now on, so that it gets less.
    assert found["remaining"]["flows"] <= 20
    assert found["remaining"]["p50_ms"] < whole["p50_ms"]
    # A flow is not compared with itself.
    own = site.get(f"/api/v1/flows/{fast}/usual", headers=site.bearer(context)).json()
    assert (own["flows"], own["phases"][0]["flows"], own["remaining"]) == (19, 19, None)
    said = json.loads(terminal("show", slow, "--json"))["usual"]
    assert said["phases"][0] == imported
    words = "slower than usual: 1.6 × p95"
    assert words in _page(site, context, f"/flows/{slow}")
    assert words in _page(site, context, f"/flows/{slow}/report")
    assert words in terminal("show", slow)


def test_errors_are_folded_by_cause_as_the_overview_folds_them(
    flows: tuple[UUID, UUID], site: StatusSite, context: FlowContext, terminal: Any
) -> None:
    slow, _ = flows
    found = site.get(f"/api/v1/flows/{slow}/errors", headers=site.bearer(context)).json()["causes"]
    assert (found[0]["cause"], found[0]["errors"]) == ("no answer in # s", 3)
    fleet = site.get("/api/v1/fleet", headers=site.bearer(context)).json()["causes"]
    assert {one["cause"] for one in found} == {one["cause"] for one in fleet}
    assert json.loads(terminal("show", slow, "--json"))["causes"] == found
    assert "3 × no answer in # s" in terminal("show", slow)
    assert "no answer in # s" in _page(site, context, f"/flows/{slow}")


def test_two_flows_stand_side_by_side(
    flows: tuple[UUID, UUID], site: StatusSite, context: FlowContext, terminal: Any
) -> None:
    slow, fast = flows
    address = f"/api/v1/flows/{slow}/compare?other={fast}"
    found = site.get(address, headers=site.bearer(context)).json()
    assert (found["this"]["error_count"], found["other"]["status"]) == (4, "completed")
    imported = found["phases"][0]
    assert (imported["difference_ms"], imported["times"]) == (-11_000, 0.65)
    assert found["phases"][1]["other"] is None
    assert found["agents"][0]["this"]["cost_usd"] == 0.0125
    said = json.loads(terminal("compare", slow, fast, "--json"))
    assert said["phases"][0] == imported
    assert said["causes"] == found["causes"]
    assert "0.7 times as long" in terminal("compare", slow, fast)
    page = _page(site, context, f"/flows/{slow}/compare?other={fast}")
    assert "0.7 times as long" in page
    assert str(fast) in page
    for wrong in ("nonsense", uuid4()):
        assert "This cannot be shown" in _page(site, context, f"/flows/{slow}/compare?other={wrong}")
    stranger = context.model_copy(update={"client_account_id": uuid4()})
    assert site.get(address, headers=site.bearer(stranger)).status_code == 404


def test_lists_become_files_that_no_spreadsheet_obeys(
    flows: tuple[UUID, UUID], site: StatusSite, context: FlowContext, terminal: Any
) -> None:
    slow, _ = flows
    answer = site.get(f"/api/v1/flows/{slow}/export.csv?table=errors", headers=site.bearer(context))
    assert answer.headers["content-disposition"].endswith('-errors.csv"')
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 4
    assert f"'{_FORMULA}" in {row["error"] for row in rows}
    assert not any((value or "").startswith(("=", "+", "-", "@")) for row in rows for value in row.values())
    for table in ("phases", "transitions", "errors", "causes", "activity", "agents"):
        file = site.get(f"/api/v1/flows/{slow}/export.csv?table={table}", headers=site.bearer(context))
        if table != "phases":  # where a phase is still running
            assert terminal("export", slow, "--table", table) == file.content.decode()
        assert f"table={table}" in _page(site, context, f"/flows/{slow}")
    whole = site.get(f"/api/v1/flows/{slow}/export.json", headers=site.bearer(context)).json()
    said = json.loads(terminal("export", slow))
    for changing in ("usual", "last_sign_age_s", "trace_url"):
        del whole[changing], said[changing]
    assert said == whole


async def test_a_big_accounts_history_is_found_among_its_newest_flows(
    sessions: Sessions, context: FlowContext, site: StatusSite
) -> None:
    flow_id = await _past(sessions, context, 5_000)
    made = (
        "insert into migration.crewai_flow_state_extensions (id, flow_id, client_account_id, engagement_id,"
        " user_id, flow_type, flow_status, created_at, phase_execution_times) select gen_random_uuid(),"
        " gen_random_uuid(), :client_account_id, :engagement_id, :user_id, 'discovery', 'completed',"
        " now() - make_interval(secs => number), jsonb_build_object('data_import',"
        " jsonb_build_object('execution_time_ms', number)) from generate_series(1, 5200) as number"
    )
    async with sessions.begin() as db:
        await db.execute(text(made), context.model_dump())
    found = site.get(f"/api/v1/flows/{flow_id}/usual", headers=site.bearer(context)).json()
    assert 495 <= found["flows"] <= 500
    assert found["phases"][0]["p95_ms"] < 500


async def test_others_of_a_small_account_are_not_looked_for_among_the_flows_of_all(
    sessions: Sessions, context: FlowContext
) -> None:
    asked = {**context.model_dump(exclude={"user_id"}), "flow_type": "discovery", "most": 500}
    async with sessions() as db:
        # As over a million rows: to read them in order promises to be cheaper than to sort a few thousand.
        await db.execute(text("set local enable_sort = off"))
        rows = await db.scalars(text(f"explain (costs off) {statement('read_usual').text}"), asked)
        plan = "\n".join(rows)
    part = plan.partition("CTE all_of_account")[2].partition("Append")[0]
    assert "Sort" in part


async def _long(database_url: str, context: FlowContext) -> UUID:
    """A flow whose lists are long, as another program may have written them."""
    errors = [
        {
            "id": f"error-{n}",
            "phase": f"phase_{n % 60}",
            "error": f"no answer in {n} s" if n % 2 else "row has no owner",
            "timestamp": f"2026-11-02T09:{n // 60:02d}:{n % 60:02d}+00:00",
        }
        for n in range(250)
    ]
    transitions = [
        {"phase": f"phase_{n}", "status": "completed", "timestamp": f"2026-11-02T09:{n:02d}:00+00:00"}
        for n in range(60)
    ]
    entries = [
        {"agent": f"agent {n % 3}", "activity": f"did {n}", "timestamp": "2026-11-02T09:00:00+00:00"}
        for n in range(120)
    ]
    engine = engine_for(database_url)
    try:
        return await flow_of(
            session_factory(engine),
            context,
            error_history=errors,
            phase_transitions=transitions,
            agent_collaboration_log=entries,
        )
    finally:
        await engine.dispose()


_OF_PHASE_7 = len([n for n in range(250) if n % 60 == 7])


@pytest.fixture
def long_flow(site_and_database: tuple[StatusSite, str], context: FlowContext) -> UUID:
    return asyncio.run(_long(site_and_database[1], context))


def test_long_lists_are_filtered_and_paged_over_http(
    site: StatusSite, context: FlowContext, long_flow: UUID
) -> None:
    def read(name: str, **params: Any) -> Any:
        answer = site.get(f"/api/v1/flows/{long_flow}/{name}", headers=site.bearer(context), params=params)
        assert answer.is_success, answer.text
        return answer.json()

    whole = read("errors")
    ids = [entry["id"] for entry in whole["errors"]]
    assert (len(ids), whole["matching"], whole["error_count"]) == (250, 250, 250)
    pages = [read("errors", limit=60, skip=skip) for skip in range(0, 300, 60)]
    assert [entry["id"] for page in pages for entry in page["errors"]] == ids
    assert {page["matching"] for page in pages} == {250}
    assert all(page["causes"] == whole["causes"] for page in pages)
    odd = read("errors", text="NO ANSWER", limit=10)
    assert (len(odd["errors"]), odd["matching"], odd["error_count"]) == (10, 125, 250)
    assert [one["errors"] for one in odd["causes"]] == [125]
    of_phase = read("errors", phase="Phase 7")
    assert {entry["phase"] for entry in of_phase["errors"]} == {"phase_7"}
    assert of_phase["matching"] == _OF_PHASE_7
    found = read("timeline", phase="phase_7")
    assert (found["matching"], found["transition_count"], len(found["bars"])) == (1, 60, 1)
    found = read("activity", agent="agent 1", text="did 1", limit=2)
    assert found["matching"] == len([n for n in range(120) if n % 3 == 1 and f"did {n}".startswith("did 1")])
    assert len(found["collaborations"]) == 2


def test_long_lists_are_filtered_and_paged_on_the_page_and_whole_in_the_report(
    site: StatusSite, context: FlowContext, long_flow: UUID
) -> None:
    page = _page(site, context, f"/flows/{long_flow}")
    # The newest.
    assert [n for n in range(250) if f'id="error-error-{n}"' in page] == list(range(200, 250))
    assert "1 to 50 of 250" in page
    assert "1 to 50 of 60" in page
    assert page.count("<tr data-phase=") == 50
    last = _page(site, context, f"/flows/{long_flow}?errors=5&phases=2&activity=3")
    assert ("201 to 250 of 250" in last, "101 to 120 of 120" in last) == (True, True)
    assert last.count("<tr data-phase=") == 10
    assert 'href="?errors=4&amp;activity=3&amp;phases=2#errors"' in last
    one = _page(site, context, f"/flows/{long_flow}?phase=phase_7&text=no+answer")
    assert one.count('class="entry bad"') == _OF_PHASE_7
    assert one.count("<tr data-phase=") == 1
    report = _page(site, context, f"/flows/{long_flow}/report")
    assert (report.count('class="entry bad"'), report.count("<tr data-phase=")) == (250, 60)


def test_long_lists_are_filtered_and_paged_in_the_terminal(terminal: Any, long_flow: UUID) -> None:
    said = json.loads(terminal("show", long_flow, "--phase", "Phase 7", "--limit", 2, "--skip", 1, "--json"))
    assert [entry["id"] for entry in said["errors"]] == ["error-187", "error-127"]
    assert said["matching"] == {"errors": _OF_PHASE_7, "transitions": 1, "collaborations": 0}
    assert [one["phase"] for one in said["phase_details"]] == ["phase_7"]
    assert "2 of 125 errors that match are shown." in terminal(
        "show", long_flow, "--text", "no answer", "--limit", 2
    )
