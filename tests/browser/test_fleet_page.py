from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import ErrorOccurred, PhaseTimed, StatusChanged, UsageReported
from masterflow.domain.usage.amounts import Usage, UsageCounted
from tests.browser.test_status_page import violations
from tests.support.events.reported_flows import flow_of, report

OpenPage = Callable[..., Page]
Do = Callable[[Any], Any]

_LONG = "نص طويل جدا " * 16 + "W" * 60
_SIZES = ({"width": 390, "height": 800}, {"width": 1280, "height": 900})


async def _some_flows(sessions: Any, context: FlowContext) -> None:
    amounts = Usage(3, 4_000, 900, 12_000_000, 0)
    usage = {
        "agent": "Schema Expert" * 8,
        "model": "small-model",
        "used": amounts,
        "counted": UsageCounted(by="process-0001", agent=amounts, flow=amounts),
    }
    failed = await flow_of(sessions, context)
    await report(
        sessions,
        context,
        failed,
        *((PhaseTimed, {"phase": f"{name} {_LONG}"[:100], "execution_time_ms": 9e6}) for name in "abc"),
        (ErrorOccurred, {"phase": "data_import", "error": _LONG}),
        (StatusChanged, {"status": "failed"}),
        (UsageReported, usage),
    )
    waiting = await flow_of(sessions, context)
    await report(sessions, context, waiting, (StatusChanged, {"status": "waiting_for_approval"}))


async def _many_flows(sessions: Any, context: FlowContext) -> None:
    async with sessions.begin() as db:
        await db.execute(
            text(
                "insert into migration.crewai_flow_state_extensions (id, flow_id, client_account_id,"
                " engagement_id, user_id, flow_type, flow_status, created_at)"
                " select gen_random_uuid(), gen_random_uuid(), :client_account_id, :engagement_id, :user_id,"
                " 'discovery', (array['failed', 'completed', 'processing', 'paused'])[1 + number % 4],"
                " now() - make_interval(mins => number) from generate_series(1, 5000) as number"
            ),
            context.model_dump(),
        )


_FLEETS: dict[str, Any] = {"none": None, "some": _some_flows, "many": _many_flows}


@pytest.mark.long(but=["none-dark-wide", "some-light-narrow", "many-dark-narrow", "many-light-wide"])
@pytest.mark.parametrize("size", _SIZES, ids=["narrow", "wide"])
@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("fleet", list(_FLEETS))
def test_the_overview_is_accessible_and_never_scrolls_sideways(
    fleet: str,
    colors: str,
    size: dict[str, int],
    open_page: OpenPage,
    do: Do,
    context: FlowContext,
    axe_script: str,
) -> None:
    if make := _FLEETS[fleet]:
        do(lambda sessions: make(sessions, context))
    page = open_page("/fleet?window=week", viewport=size, color_scheme=colors)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert violations(page, axe_script) == []


def test_somebody_goes_from_the_overview_to_what_failed_without_scripts_and_by_keyboard(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    do(lambda sessions: _some_flows(sessions, context))
    page = open_page("/", java_script_enabled=False)
    expect(page).to_have_url(f"{page.url.rpartition('/')[0]}/fleet")
    page.get_by_role("link", name="Hour", exact=True).press("Enter")
    expect(page.get_by_role("link", name="Hour", exact=True)).to_have_attribute("aria-current", "page")
    page.get_by_role("list").get_by_role("link", name="1 of these").first.press("Enter")
    expect(page.locator("tr[data-flow]")).to_have_count(1)
    expect(page.get_by_role("checkbox", name="failed")).to_be_checked()


@pytest.mark.long("320-light", "1280-dark")
@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_list_with_all_that_can_be_asked_is_accessible_and_never_scrolls_sideways(
    colors: str, width: int, open_page: OpenPage, do: Do, context: FlowContext, axe_script: str
) -> None:
    do(lambda sessions: _many_flows(sessions, context))
    asked = {
        "user": "tester",
        "ran_until": "2090-01-01T00:00:00Z",
        "sort": "errors",
        "cause": _LONG[:150],
        "meta.a": "b",
    }
    for query in ({}, {"sort": "duration", "status": "completed"}, asked):
        page = open_page(
            f"/flows?{urlencode(query)}", viewport={"width": width, "height": 800}, color_scheme=colors
        )
        expect(page.get_by_role("heading", name="Flows")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert violations(page, axe_script) == []
    page.get_by_role("link", name="remove ran it before").press("Enter")
    expect(page.get_by_role("list", name="Also asked for").get_by_role("listitem")).to_have_count(1)
    page.get_by_role("link", name="remove a is b").press("Enter")
    expect(page.get_by_role("list", name="Also asked for")).to_have_count(0)
