import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    ErrorOccurred,
    MemoryMeasured,
    ProgressReported,
    StatusChanged,
)
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.support.events.reported_flows import flow_of, full_story, report, told
from tests.support.processes.status_site import StatusSite

OpenPage = Callable[..., Page]
Do = Callable[[Any], Any]

_HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    '"><svg onload="document.title = \'taken\'">',
    "{{ 7 * 7 }} ${7 * 7} {% raw %}",
    "\u202egnirts desrever\u202c עברית العربية",
    "👩‍👩‍👧‍👦 🏴‍☠️ Z̸̡a̵l̶g̷o̶",
]


def told_flow(do: Do, context: FlowContext, *story: tuple[Any, dict[str, Any]]) -> UUID:
    flow_id: UUID = do(lambda sessions: flow_of(sessions, context))
    if story:
        do(lambda sessions: report(sessions, context, flow_id, *story))
    return flow_id


def violations(page: Page, axe_script: str) -> list[str]:
    # As the browser's own tools do: the page's policy allows no script but its own.
    page.evaluate(axe_script)
    found = page.evaluate("axe.run().then((results) => results.violations)")
    return [f"{item['id']}: {[node['html'][:200] for node in item['nodes'][:3]]}" for item in found]


def test_somebody_signs_in_looks_at_a_flow_and_signs_out(
    open_page: OpenPage, do: Do, context: FlowContext, site: StatusSite
) -> None:
    flow_id = told_flow(do, context, told("data_import", "processing"))
    page = open_page("/signin", signed_in=False)
    page.get_by_label("Access token").fill("  " + site.token(context))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Flows", exact=True).click()
    page.get_by_role("link", name="Unnamed flow").click()
    expect(page).to_have_url(f"{site.url}/flows/{flow_id}")
    expect(page.get_by_role("row", name="data import")).to_be_visible()
    assert "enrichment_token" not in page.evaluate("document.cookie")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_wrong_token_is_told(open_page: OpenPage) -> None:
    page = open_page("/signin", signed_in=False)
    page.get_by_label("Access token").fill("no token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    open_page.problems.clear()  # type: ignore[attr-defined]  # the browser notes the 401


def test_the_list_is_filtered(open_page: OpenPage, do: Do, context: FlowContext) -> None:
    failed = told_flow(do, context, (StatusChanged, {"status": "failed"}))
    running = told_flow(
        do, context, told("data_import", "processing"), (StatusChanged, {"status": "processing"})
    )
    page = open_page()
    rows = page.locator("tr[data-flow]")
    expect(rows).to_have_count(2)
    page.get_by_role("checkbox", name="failed").check()
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(1)
    expect(rows).to_have_attribute("data-flow", str(failed))
    page.get_by_role("checkbox", name="failed").uncheck()
    page.get_by_label("Phase").fill("Data import")
    page.get_by_label("Phase").press("Enter")
    expect(rows).to_have_attribute("data-flow", str(running))
    page.get_by_label("Phase").fill("none")
    page.get_by_label("Phase").press("Enter")
    expect(page.get_by_text("No flow is like that.")).to_be_visible()


def test_the_list_goes_on_to_older_flows(open_page: OpenPage, do: Do, context: FlowContext) -> None:
    async def add(sessions: Any) -> None:
        for _ in range(30):
            await flow_of(sessions, context)

    do(add)
    page = open_page()
    expect(page.locator("tr[data-flow]")).to_have_count(25)
    page.get_by_role("link", name="Older").click()
    expect(page.locator("tr[data-flow]")).to_have_count(5)
    page.get_by_role("link", name="Newer").click()
    expect(page.locator("tr[data-flow]")).to_have_count(25)
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Newest").click()
    expect(page.locator("tr[data-flow]")).to_have_count(25)


def test_a_running_flow_is_followed_without_a_reload(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    flow_id = told_flow(
        do, context, told("data_import", "processing"), (StatusChanged, {"status": "processing"})
    )
    listing, page = open_page(), open_page(f"/flows/{flow_id}")
    for one in (listing, page):
        expect(one.get_by_text("Live", exact=True)).to_be_visible()
        one.evaluate("window.isTheSamePage = true")
    do(
        lambda sessions: report(
            sessions,
            context,
            flow_id,
            told("data_import", "completed"),
            told("data_cleansing", "processing"),
            (ErrorOccurred, {"phase": "data_cleansing", "error": "out of memory"}),
            (ProgressReported, {"snapshot": {"progress_percentage": 55, "message": "nearly there"}}),
            (StatusChanged, {"status": "failed"}),
        )
    )
    expect(page.get_by_role("row", name="data cleansing")).to_be_visible()
    expect(page.locator("svg.mark").first).to_be_attached()
    expect(page.locator("summary", has_text="out of memory")).to_be_visible()
    expect(page.get_by_text("Live: now failed")).to_be_attached()
    expect(listing.locator(f'tr[data-flow="{flow_id}"]')).to_contain_text("failed")
    expect(listing.get_by_text("nearly there")).to_be_visible()
    born = told_flow(do, context)
    expect(listing.locator(f'tr[data-flow="{born}"]')).to_be_visible()
    assert page.evaluate("window.isTheSamePage")
    assert listing.evaluate("window.isTheSamePage")


def test_what_is_open_and_focused_stays_so_when_the_page_follows(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    flow_id = told_flow(
        do, context, (AgentCollaborated, {"entry": {"agent": "a", "activity": "read the file"}})
    )
    page = open_page(f"/flows/{flow_id}")
    page.locator("summary", has_text="read the file").focus()
    page.keyboard.press("Enter")
    do(lambda sessions: report(sessions, context, flow_id, told("data_import", "processing")))
    expect(page.get_by_role("row", name="data import")).to_be_visible()
    expect(page.locator("details[open] summary", has_text="read the file")).to_be_focused()


def test_hostile_texts_are_texts(open_page: OpenPage, do: Do, context: FlowContext) -> None:
    flow_id = do(
        lambda sessions: flow_of(sessions, context, error_history=[{"phase": "p", "error": "long " * 2_000}])
    )
    story: list[tuple[Any, dict[str, Any]]] = []
    for text in _HOSTILE:
        story += [
            told(text, "processing", message=text),
            (ErrorOccurred, {"phase": text, "error": text, "details": {text: text}}),
            (AgentCollaborated, {"entry": {"agent": text, "activity": text}}),
            (MemoryMeasured, {"metrics": {text: text}}),
            (AgentPerformanceMeasured, {"metrics": {text: {text: text}}}),
            (ProgressReported, {"snapshot": {"message": text}}),
        ]
    do(lambda sessions: report(sessions, context, flow_id, *story))
    page = open_page(f"/flows/{flow_id}", viewport={"width": 390, "height": 800})
    for text in _HOSTILE:
        expect(page.locator("summary", has_text=text).first).to_be_attached()
    expect(page.get_by_text("long " * 2_000).first).to_be_attached()
    listing = open_page(viewport={"width": 390, "height": 800})
    expect(listing.locator("#live").get_by_text(_HOSTILE[-1]).first).to_be_visible()
    for one in (page, listing):
        assert "taken" not in one.title()
        assert one.locator("#live script, #live img").count() == 0
        assert one.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_on_any_page(
    open_page: OpenPage, do: Do, context: FlowContext, axe_script: str, scheme: str, width: int
) -> None:
    flow_id = told_flow(do, context, *full_story())
    for status in ("completed", "failed", "cancelled", "paused", "processing"):
        told_flow(do, context, (StatusChanged, {"status": status}))
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "reduced_motion": "reduce"}
    for path in ("/flows", f"/flows/{flow_id}"):
        page = open_page(path, **look)
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        assert violations(page, axe_script) == []
    assert violations(open_page("/signin", signed_in=False, **look), axe_script) == []


def test_full_lists_are_shown_quickly(open_page: OpenPage, do: Do, context: FlowContext) -> None:
    flow_id = told_flow(do, context, *full_story())
    page = open_page(f"/flows/{flow_id}")
    expect(page.locator("details.entry")).to_have_count(
        100
    )  # 50 errors and 50 activities; the others on further pages
    shown_ms = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    assert shown_ms < 3_000


def test_everything_can_be_reached_with_the_keyboard(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    flow_id = told_flow(do, context, *full_story()[:4])
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    link = page.locator(f"#flow-{flow_id}")
    for _ in range(80):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Unnamed flow")).to_be_visible()


def test_a_report_can_be_read_without_the_service(
    open_page: OpenPage, do: Do, context: FlowContext, tmp_path: Path
) -> None:
    flow_id = told_flow(do, context, *full_story())
    page = open_page(f"/flows/{flow_id}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download report").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    offline = open_page(file.as_uri(), signed_in=False)
    expect(offline.get_by_role("row", name=re.compile("phase 1"))).to_be_visible()
    assert (
        offline.locator("table.gantt").evaluate("table => getComputedStyle(table).borderCollapse")
        == "collapse"
    )


@pytest.fixture
def followed_flow(open_page: OpenPage, do: Do, context: FlowContext) -> tuple[UUID, Page]:
    """A flow in its first phase, and a page that follows it."""
    flow_id = told_flow(do, context, told("data_import", "processing"))
    page = open_page(f"/flows/{flow_id}")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    return flow_id, page


def test_the_page_says_that_postgres_is_away_and_recovers(
    followed_flow: tuple[UUID, Page],
    open_page: OpenPage,
    do: Do,
    context: FlowContext,
    servers: tuple[EmbeddedPostgres, EmbeddedRedis],
) -> None:
    flow_id, page = followed_flow
    servers[0].stop()
    try:
        # The stream says the one, and a look at the flow the other, whichever comes first.
        expect(page.locator("#link-state[data-state=away]")).to_contain_text(
            re.compile("The database does not answer|Postgres is not available"), timeout=15_000
        )
        expect(page.get_by_role("row", name="data import")).to_be_visible()
        late = open_page(f"/flows/{flow_id}")
        expect(late.get_by_role("alert")).to_contain_text("Postgres is not available")
    finally:
        servers[0].start()
    do(lambda sessions: report(sessions, context, flow_id, told("data_cleansing", "processing")))
    for one in (page, late):
        expect(one.get_by_role("row", name="data cleansing")).to_be_visible(timeout=20_000)
    open_page.problems.clear()  # type: ignore[attr-defined]  # the browser notes the 503


def test_the_page_says_that_redis_is_away_and_goes_on(
    followed_flow: tuple[UUID, Page],
    do: Do,
    context: FlowContext,
    servers: tuple[EmbeddedPostgres, EmbeddedRedis],
) -> None:
    flow_id, page = followed_flow
    servers[1].stop()
    try:
        expect(page.get_by_role("status")).to_contain_text("Redis does not answer", timeout=15_000)
        do(lambda sessions: report(sessions, context, flow_id, told("data_cleansing", "processing")))
        expect(page.get_by_role("row", name="data cleansing")).to_be_visible()
        expect(page.get_by_role("status")).to_contain_text("Redis does not answer")
    finally:
        servers[1].start()
    expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=15_000)
