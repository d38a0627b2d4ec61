"""The page lives: what runs goes on between two updates, which disturb nobody who reads or writes."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from masterflow.domain import FlowContext
from masterflow.domain.events import ErrorOccurred, StatusChanged
from masterflow.status.durations import lasting
from tests.browser.test_status_page import told_flow
from tests.support.events.reported_flows import report, told

OpenPage = Callable[..., Page]
Do = Callable[[Any], Any]

_WORKED = "tr[data-phase=data_import] [data-since]"
_BAR = "tr[data-phase=data_import] rect.bar"

# Parts that updates and ticks change, seen twice.
_SEEN = f"""() => {{ const seconds = (selector) => {{
  const text = document.querySelector(selector).textContent;
  return parseFloat(text) / (/\\d ms/.test(text) ? 1000 : 1);
}}; return {{
  worked: seconds('{_WORKED}'),
  since: seconds('.section-head [data-since]'),
  bar: parseFloat(document.querySelector('{_BAR}').getAttribute('width')),
  label: document.querySelector('.axis text:last-child').textContent,
}}; }}"""

# Where on the screen an error stands that is being read.
_PLACE = "document.querySelectorAll('details.entry')[8].getBoundingClientRect().top"


@pytest.fixture
def running(do: Do, context: FlowContext) -> UUID:
    return told_flow(
        do, context, told("data_import", "processing"), (StatusChanged, {"status": "processing"})
    )


def without_updates(page: Page) -> None:
    """Let pages come from here on, and no part of one for an update."""
    page.route(
        "**/flows/*",
        lambda route: route.abort("aborted") if route.request.resource_type == "fetch" else route.continue_(),
    )


def test_bars_and_times_go_on_between_two_updates_by_the_clock_of_the_server(
    open_page: OpenPage, running: UUID
) -> None:
    page = open_page()
    page.add_init_script("Date.now = () => 0")  # a browser whose own clock is wrong
    without_updates(page)
    page.goto(f"/flows/{running}")
    expect(page.locator(_WORKED)).to_be_visible()
    before = page.evaluate(_SEEN)
    page.wait_for_timeout(1_300)
    after = page.evaluate(_SEEN)
    assert 0.8 <= after["worked"] - before["worked"] <= 2.0
    assert 0.8 <= after["since"] - before["since"] <= 2.0
    assert after["bar"] > before["bar"]
    assert after["label"] == before["label"]


def test_who_wants_less_motion_sees_no_bar_move_between_two_updates(
    open_page: OpenPage, running: UUID
) -> None:
    page = open_page(reduced_motion="reduce")
    without_updates(page)
    page.goto(f"/flows/{running}")
    expect(page.locator(_BAR)).to_be_visible()
    before = page.evaluate(_SEEN)
    page.wait_for_timeout(1_300)
    assert page.evaluate(_SEEN)["bar"] == before["bar"]
    assert page.locator(_BAR).evaluate("bar => getComputedStyle(bar).animationName") == "none"


def test_durations_are_the_same_words_in_the_browser_as_everywhere(open_page: OpenPage) -> None:
    page = open_page("/inbox")
    durations = [0, 12, 999, 1_000, 1_240, 59_900, 60_000, 61_000, 3_599_000, 3_600_000, 90_061_000, 9e9]
    assert page.evaluate("durations => durations.map(lasting)", durations) == list(map(lasting, durations))


def test_an_update_keeps_what_is_selected_focused_opened_and_where_the_page_is_scrolled_to(
    open_page: OpenPage, do: Do, context: FlowContext, running: UUID
) -> None:
    errors = [(ErrorOccurred, {"phase": "data_import", "error": f"error {n} of ours"}) for n in range(30)]
    do(lambda sessions: report(sessions, context, running, *errors))
    page = open_page(f"/flows/{running}", viewport={"width": 390, "height": 600})
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.locator("details.entry > summary").nth(5).focus()
    page.keyboard.press("Enter")
    page.evaluate(
        """() => {
          const range = document.createRange();
          range.selectNodeContents(document.querySelector('.title code'));
          getSelection().addRange(range);
          document.querySelectorAll('details.entry')[8].scrollIntoView({ block: "center" });
          window.kept = document.querySelector('tr[data-phase=data_import]');
          // Until it is seen there.
          return new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)));
        }"""
    )
    opened = page.evaluate("document.activeElement.parentElement.id")
    seen_at = page.evaluate(_PLACE)
    do(
        lambda sessions: report(
            sessions,
            context,
            running,
            told("data_import", "completed"),
            told("data_cleansing", "processing"),
            (StatusChanged, {"status": "failed"}),
        )
    )
    expect(page.get_by_role("row", name="data cleansing")).to_be_attached()
    expect(page.locator(".title .badge")).to_contain_text("failed")
    assert page.evaluate("getSelection().toString()") == str(running)
    assert page.evaluate("document.activeElement.parentElement.id") == opened
    assert page.locator(f"details[id='{opened}']").get_attribute("open") is not None
    assert page.evaluate("window.kept.isConnected")
    assert abs(page.evaluate(_PLACE) - seen_at) < 5


def test_the_overview_follows_by_itself(open_page: OpenPage, do: Do, context: FlowContext) -> None:
    page = open_page("/fleet")
    expect(page.get_by_text("No flow is open.")).to_be_visible()
    page.evaluate("window.isTheSamePage = true")
    told_flow(do, context, (StatusChanged, {"status": "processing"}))
    expect(page.get_by_role("link", name="1 open")).to_be_visible(timeout=40_000)
    assert page.evaluate("window.isTheSamePage")


def test_without_scripts_pages_say_how_to_see_what_is_new(open_page: OpenPage, running: UUID) -> None:
    page = open_page(f"/flows/{running}", java_script_enabled=False)
    page.get_by_role("link", name="Reload it").click()
    expect(page).to_have_url(f"{page.url.partition('/flows')[0]}/flows/{running}")


@pytest.mark.long("/flows?cursor=none", "/nowhere")
@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/flows/no-id",
        "/flows/00000000-0000-7000-8000-000000000000",
        "/flows?cursor=none",
        "/flows?text=a&text=b",
    ],
)
def test_what_is_wrong_with_an_address_is_told_on_a_page(open_page: OpenPage, path: str) -> None:
    page = open_page(path)
    expect(page.get_by_role("heading", name="This cannot be shown")).to_be_visible()
    page.get_by_role("link", name="Go to the flows").click()
    expect(page.get_by_role("heading", name="Flows")).to_be_visible()
    open_page.problems.clear()  # type: ignore[attr-defined]  # the browser notes what the address gave
