import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import DeadlinePassed, ErrorOccurred, PhaseTimed, StatusChanged, new_event
from masterflow.repository.merge.merges import apply_events
from tests.support.events.reported_flows import Sessions, flow_of, report
from tests.support.processes.status_site import StatusSite

_HOSTILE = "<script>document.title = 'taken'</script>"


def _page(site: StatusSite, context: FlowContext, path: str) -> str:
    answer = site.get(path, headers={"Cookie": f"enrichment_token={site.token(context)}"})
    assert answer.status_code == 200, answer.text
    return answer.text


def _figures(page: str) -> dict[str, tuple[str, int]]:
    """Return by label where each figure leads, and the figure."""
    found = re.findall(r'<a href="([^"]+)"><span class="figure">([\d,]+)</span> ([^<]+)</a>', page)
    return {f"{label} {link}": (html.unescape(link), int(number)) for link, number, label in found}


@pytest.fixture
async def flows(sessions: Sessions, context: FlowContext) -> dict[str, UUID]:
    found = {
        name: await flow_of(sessions, context) for name in ("failed", "done", "waiting", "late", "fresh")
    }
    at = datetime.now(UTC)
    deadline: dict[str, Any] = {"phase": None, "deadline_at": at - timedelta(minutes=1)}
    async with sessions.begin() as db:
        await apply_events(db, [new_event(DeadlinePassed, context, found["late"], **deadline)])
    stories: dict[str, tuple[Any, ...]] = {
        "failed": (
            (PhaseTimed, {"phase": _HOSTILE, "execution_time_ms": 1200.0}),
            (ErrorOccurred, {"phase": "data_import", "error": _HOSTILE}),
            (StatusChanged, {"status": "failed"}),
        ),
        "done": ((StatusChanged, {"status": "completed"}),),
        "waiting": ((StatusChanged, {"status": "waiting_for_approval"}),),
    }
    for name, story in stories.items():
        await report(sessions, context, found[name], *story)
    return found


async def test_every_figure_leads_to_a_list_of_so_many_flows(
    site: StatusSite, context: FlowContext, flows: dict[str, UUID]
) -> None:
    page = _page(site, context, "/fleet?window=hour")
    figures = _figures(page)
    assert len(figures) > 8
    assert sum(number > 0 for _, number in figures.values()) >= 7
    for label, (link, number) in figures.items():
        shown = _page(site, context, link)
        assert shown.count("data-flow=") + shown.count("data-waiting=") == number, label
    assert _HOSTILE not in page
    assert html.escape(_HOSTILE, quote=False).replace("'", "&#39;") in page


async def test_causes_phases_and_bars_lead_to_the_flows_that_they_count(
    site: StatusSite, context: FlowContext, flows: dict[str, UUID]
) -> None:
    page = _page(site, context, "/fleet?window=hour")
    links = [html.unescape(link) for link in re.findall(r'href="(/flows\?[^"]+)"', page)]
    wanted = {"cause=": {"failed"}, "ran=": {"failed"}, "ended_until=&status=completed": {"done"}}
    for words, names in wanted.items():
        found = [link for link in links if all(word in link for word in words.split("&"))]
        found = found or [link for link in links if words.split("&")[-1] in link and "ended_since" in link]
        assert found, words
        shown = _page(site, context, found[-1])
        assert set(re.findall('data-flow="([^"]+)"', shown)) == {str(flows[name]) for name in names}, found


async def test_an_account_without_flows_is_told_so(site: StatusSite, context: FlowContext) -> None:
    for window in ("", "hour", "month", "year"):
        page = _page(site, context, f"/fleet?window={window}")
        assert "No flow is open, and none began or ended in this time." in page
    assert 'href="/fleet?window=day" aria-current="page"' in _page(site, context, "/fleet?window=year")


async def test_the_overview_is_the_first_page(site: StatusSite, context: FlowContext) -> None:
    cookie = {"Cookie": f"enrichment_token={site.token(context)}"}
    answer = site.get("/", headers=cookie, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/fleet")
    assert site.get("/fleet").status_code == 401


async def test_five_thousand_flows_are_told_on_one_page(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    async with sessions.begin() as db:
        await db.execute(
            text(
                "insert into migration.crewai_flow_state_extensions (id, flow_id, client_account_id,"
                " engagement_id, user_id, flow_type, flow_status, phase_execution_times, error_history)"
                " select gen_random_uuid(), gen_random_uuid(), :client_account_id, :engagement_id, :user_id,"
                " 'discovery', case when number % 10 = 0 then 'failed' else 'completed' end,"
                " jsonb_build_object('phase ' || number % 60,"
                " jsonb_build_object('execution_time_ms', number)),"
                " jsonb_build_array(jsonb_build_object('error', repeat(chr(65 + number % 50), 200)))"
                " from generate_series(1, 5000) as number"
            ),
            context.model_dump(),
        )
    page = _page(site, context, "/fleet?window=hour")
    assert '<span class="figure">5,000</span> began' in page
    assert "10 % failed" in page
    assert "the slowest 20 of 60" in page
    assert "20 of 50 causes" in page
    assert len(page) < 60_000
