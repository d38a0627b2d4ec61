"""Views with much to show: for everybody, on every screen, in both directions of writing."""

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import StatusChanged, UsageReported
from masterflow.domain.usage.amounts import Usage, UsageCounted
from tests.browser.test_status_page import told_flow, violations
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import flow_of, report, told

OpenPage = Callable[..., Page]
Do = Callable[[Any], Any]

_LONG = "حقل طويل " * 10 + "W" * 110
# What makes a page wider than its screen.
_TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll('*')].filter((one) => one.getBoundingClientRect().right > innerWidth)
    .map((one) => one.outerHTML.slice(0, 100))"""
_LOOKS: list[tuple[int, Any]] = [(320, "dark"), (390, "dark"), (1280, "light")]


@pytest.fixture(scope="module")
def context() -> FlowContext:
    """One tenant for all tests of this file, which only look."""
    return new_context()


@pytest.fixture
def tenant() -> FlowContext:
    """A tenant for one test alone."""
    return new_context()


@pytest.fixture(scope="module")
def flows() -> dict[str, UUID]:
    return {}


@pytest.fixture
def full(do: Do, context: FlowContext, flows: dict[str, UUID]) -> UUID:
    """A flow with all that there can be of everything, and one like it; made once."""
    if not flows:
        flows["full"] = do(lambda sessions: _full_flow(sessions, context))
        flows["other"] = told_flow(do, context, told("phase_1", "processing"), told("phase_1", "completed"))
    return flows["full"]


async def _full_flow(sessions: Any, context: FlowContext) -> UUID:
    at = "2026-11-02T09:{:02d}:{:02d}+00:00"
    entries = [
        {
            "id": f"error-{n}",
            "phase": f"phase_{n % 60}",
            "error": f"{_LONG} {'ab' * (n % 7)} {n}",
            "timestamp": at.format(n // 60, n % 60),
        }
        for n in range(250)
    ]
    transitions = [
        {
            "id": f"t-{n}",
            "phase": f"phase_{n}" if n else _LONG,
            "status": status,
            "timestamp": at.format(n, offset),
        }
        for n in range(60)
        for offset, status in ((0, "processing"), (30, "completed" if n % 7 else "failed"))
    ]
    amounts = Usage(3, 4_000, 900, 12_000_000, 0)
    counted = UsageCounted(by="process-0001", agent=amounts, flow=amounts)
    flow_id = await flow_of(sessions, context, error_history=entries, phase_transitions=transitions)
    async with sessions.begin() as db:
        await db.execute(
            text(
                "update migration.crewai_flow_state_extensions set flow_name = :name where flow_id = :flow_id"
            ),
            {"name": _LONG, "flow_id": flow_id},
        )
    usage = {"agent": _LONG[:100], "model": "m" * 100, "used": amounts, "counted": counted}
    await report(sessions, context, flow_id, (UsageReported, usage), told("phase_5", "processing"))
    return flow_id


def assert_for_everybody(page: Page, axe_script: str) -> None:
    """Look at a page that is loaded on several screens, by day and by night."""
    for width, scheme in _LOOKS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert page.evaluate(_TOO_WIDE) == [], (page.url, width)
        # What is between these two looks like one of them.
        if width != 390:
            assert violations(page, axe_script) == [], (page.url, width, scheme)


@pytest.mark.parametrize("path", ["", "?phases=2&errors=2", "/compare?other={other}"])
def test_a_flow_with_much_to_show_is_for_everybody(
    open_page: OpenPage, full: UUID, flows: dict[str, UUID], axe_script: str, path: str
) -> None:
    page = open_page(f"/flows/{full}{path}".format(**flows))
    assert_for_everybody(page, axe_script)


async def _many_flows(sessions: Any, context: FlowContext) -> None:
    async with sessions.begin() as db:
        await db.execute(
            text(
                "insert into migration.crewai_flow_state_extensions (id, flow_id, client_account_id,"
                " engagement_id, user_id, flow_type, flow_name, flow_status, error_history, created_at)"
                " select gen_random_uuid(), gen_random_uuid(), :client_account_id, :engagement_id, :user_id,"
                " 'discovery', case when number % 9 = 0 then :name end,"
                " (array['failed', 'completed', 'processing', 'paused'])[1 + number % 4],"
                " case when number % 4 = 0 then cast(:errors as jsonb) else '[]' end,"
                " now() - make_interval(mins => number) from generate_series(1, 5000) as number"
            ),
            {**context.model_dump(), "name": _LONG, "errors": json.dumps([{"error": _LONG}])},
        )


async def _one_flow(sessions: Any, context: FlowContext) -> None:
    flow_id = await flow_of(sessions, context)
    await report(sessions, context, flow_id, (StatusChanged, {"status": "paused"}))


@pytest.mark.long("5,000")
@pytest.mark.parametrize("made", [(None, _one_flow), (_many_flows,)], ids=["none and one", "5,000"])
def test_lists_of_no_one_and_many_flows_are_for_everybody(
    open_page: OpenPage, do: Do, axe_script: str, tenant: FlowContext, made: Any
) -> None:
    page = open_page("/inbox", whose=tenant)
    for make in made:
        if make:
            do(lambda sessions, make=make: make(sessions, tenant))
        for path in ("/flows", "/inbox"):
            page.goto(path)
            assert_for_everybody(page, axe_script)


def test_a_list_is_gone_through_by_keyboard_alone(
    open_page: OpenPage, do: Do, context: FlowContext, full: UUID
) -> None:
    page = open_page("/flows")

    def go_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(selector)

    go_to("[name=status]")
    page.keyboard.press("Space")
    go_to("form.filters button")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("status="))
    page.wait_for_load_state()
    go_to("header a[href='/flows']")
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile("status="))
    page.wait_for_load_state()
    go_to(f"#flow-{full}")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/flows/{full}$"))


def test_everything_of_a_flow_is_reached_by_keyboard_alone(open_page: OpenPage, full: UUID) -> None:
    page = open_page(f"/flows/{full}")
    # Of 121 transitions the row keeps the newest 100, and those are of 51 phases; a page has 50.
    expect(page.locator("tr[data-phase]")).to_have_count(50)
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim().slice(0, 15)"))
    assert {"Skip to the con", "Compare", "Download report"} <= reached
    # All errors have one cause, and the first is open.
    cause = page.locator("details.cause")
    expect(cause).to_have_attribute("open", "")
    cause.locator("> summary").focus()
    page.keyboard.press("Enter")
    expect(cause).not_to_have_attribute("open", "")
