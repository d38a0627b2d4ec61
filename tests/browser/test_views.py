"""Views with much to show: for everybody, on every screen, in both directions of writing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import UsageReported
from masterflow.domain.usage.amounts import Usage, UsageCounted
from tests.browser.test_status_page import told_flow, violations
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import flow_of, report, told

OpenPage = Callable[..., Page]
Do = Callable[[Any], Any]

_LONG = "حقل طويل " * 10 + "W" * 110
_LOOKS = [(320, "light"), (320, "dark"), (390, "dark"), (1280, "light")]


@pytest.fixture(scope="module")
def context() -> FlowContext:
    """One tenant for all tests of this file, which only look."""
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


@pytest.mark.long("320-light", "390-dark")
@pytest.mark.parametrize(("width", "scheme"), _LOOKS)
def test_a_flow_with_much_to_show_is_for_everybody(
    open_page: OpenPage,
    full: UUID,
    flows: dict[str, UUID],
    axe_script: str,
    width: int,
    scheme: str,
    tmp_path: Path,
) -> None:
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    page = open_page(f"/flows/{full}", **look)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    for path in (f"/flows/{full}", f"/flows/{full}/compare?other={flows['other']}", "/flows", "/inbox"):
        page.goto(path)
        page.screenshot(
            path=tmp_path / f"{path.strip('/').replace('/', '-')[:9]}-{width}-{scheme}.png", full_page=True
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert violations(page, axe_script) == [], path


def test_everything_of_a_flow_is_reached_by_keyboard_alone(open_page: OpenPage, full: UUID) -> None:
    page = open_page(f"/flows/{full}")
    # Of 121 transitions the row keeps the newest 100, and those are of 51 phases.
    expect(page.locator("tr[data-phase]")).to_have_count(51)
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
