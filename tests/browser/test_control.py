"""Cancelling and answering flows in a browser, with a worker that takes it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import Page, expect

from masterflow.domain import FlowContext
from masterflow.domain.events import QuestionAsked, StatusChanged
from tests.support.events.reported_flows import flow_of, report, told

OpenPage = Callable[..., Page]
Do = Callable[[Any], Any]

#: What is done in a browser is on the page within a second, and another one where this machine is busy.
_SOON_MS = 2_000


pytestmark = pytest.mark.usefixtures("worker")


def question(**fields: Any) -> tuple[Any, dict[str, Any]]:
    whole = {"event_id": uuid4(), "key": "mapping", "question": "Approve the mapping?", **fields}
    return QuestionAsked, whole


def running(do: Do, context: FlowContext) -> UUID:
    flow_id: UUID = do(lambda sessions: flow_of(sessions, context))
    story = (told("data_import", "processing"), (StatusChanged, {"status": "processing"}))
    do(lambda sessions: report(sessions, context, flow_id, *story))
    return flow_id


def asking(do: Do, context: FlowContext, *questions: tuple[Any, dict[str, Any]]) -> UUID:
    flow_id: UUID = do(lambda sessions: flow_of(sessions, context))
    story = (*questions, (StatusChanged, {"status": "waiting_for_approval"}))
    do(lambda sessions: report(sessions, context, flow_id, *story))
    return flow_id


def test_a_running_flow_is_cancelled_after_a_confirmation_and_the_page_shows_who_did(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    flow_id = running(do, context)
    page, looker = open_page(f"/flows/{flow_id}", may_control=True), open_page(f"/flows/{flow_id}")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(looker.get_by_role("button", name="Cancel")).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel this flow?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    dialog.get_by_label("Why").fill("the wrong <b>file</b>")
    began = time.monotonic()
    dialog.get_by_role("button", name="Cancel this flow").click()
    expect(dialog).to_be_hidden(timeout=_SOON_MS)
    for one in (page, looker):
        expect(one.locator(".title .badge")).to_contain_text("cancelled", timeout=_SOON_MS)
        line = one.locator("[data-asked]")
        expect(line).to_contain_text("asked to cancel it")
        expect(line).to_contain_text("the wrong <b>file</b>")
        expect(line.locator("bdi")).to_have_text(context.user_id)
    assert time.monotonic() - began < 2 * _SOON_MS / 1000
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_question_is_answered_on_the_page_of_its_flow_and_is_gone_from_the_inbox(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    flow_id = asking(do, context, question(options=("approve", "reject")))
    page, inbox = open_page(f"/flows/{flow_id}", may_control=True), open_page("/inbox", may_control=True)
    for one in (page, inbox):
        expect(one.get_by_text("Live", exact=True)).to_be_visible()
        expect(one.get_by_role("heading", name="Approve the mapping?")).to_be_visible()
    page.get_by_role("radio", name="approve").check()
    page.get_by_role("button", name="Answer").click()
    expect(page.locator("[data-asked]")).to_contain_text("answered “Approve the mapping?”", timeout=_SOON_MS)
    expect(page.locator("[data-asked] q")).to_have_text("approve")
    expect(inbox.get_by_text("No flow waits for anybody.")).to_be_visible(timeout=_SOON_MS)


def test_of_two_people_who_answer_the_second_is_told_who_was_first(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    flow_id = asking(do, context, question(options=("approve", "reject")))
    ann, bob = (open_page("/inbox", may_control=True, user_id=user) for user in ("ann", "bob"))
    for one, option in ((ann, "approve"), (bob, "reject")):
        one.get_by_role("radio", name=option).check()
    # Bob's page has not heard of it yet.
    bob.route("**/inbox", lambda route: route.abort())
    ann.get_by_role("button", name="Answer").click()
    expect(ann.get_by_text("No flow waits for anybody.")).to_be_visible(timeout=_SOON_MS)
    bob.get_by_role("button", name="Answer").click()
    expect(bob.get_by_role("alert")).to_contain_text("answered by ann already", timeout=_SOON_MS)
    page = open_page(f"/flows/{flow_id}")
    expect(page.locator("[data-asked] q")).to_have_text("approve")
    open_page.problems.clear()  # type: ignore[attr-defined]  # the browser notes the 409 and what was cut


def test_what_somebody_writes_stays_while_the_page_is_shown_anew_and_what_is_wrong_with_it_is_told(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    schema = {"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]}
    flow_id = asking(do, context, question(key="rows", question="How many rows?", answer_schema=schema))
    page = open_page(f"/flows/{flow_id}", may_control=True)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    box = page.get_by_label("Your answer, as JSON")
    box.fill('{"rows": ')
    do(lambda sessions: report(sessions, context, flow_id, told("data_import", "processing")))
    expect(page.get_by_role("row", name="data import")).to_be_visible(timeout=_SOON_MS)
    expect(box).to_have_value('{"rows": ')
    expect(box).to_be_focused()
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("alert")).to_have_text("This is no JSON.")
    box.fill('{"rows": "two"}')
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("alert")).to_have_text("'rows' must be of the type integer.")
    box.fill('{"rows": 2}')
    page.get_by_role("button", name="Answer").click()
    expect(page.locator("[data-asked] q")).to_contain_text('"rows": 2', timeout=_SOON_MS)
    open_page.problems.clear()  # type: ignore[attr-defined]  # the browser notes the 422


def test_who_may_only_look_sees_what_is_asked_and_no_form(
    open_page: OpenPage, do: Do, context: FlowContext
) -> None:
    flow_id = asking(do, context, question(options=("approve", "reject")))
    for path in (f"/flows/{flow_id}", "/inbox"):
        page = open_page(path)
        expect(page.get_by_role("heading", name="Approve the mapping?")).to_be_visible()
        expect(page.get_by_text("It can be answered with")).to_be_visible()
        expect(page.get_by_role("radio")).to_have_count(0)
        expect(page.get_by_role("button", name="Answer")).to_have_count(0)


@pytest.mark.long("1280-dark", "390-light")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_inbox_flow_and_confirmation_are_for_everybody(
    open_page: OpenPage,
    do: Do,
    context: FlowContext,
    axe_script: str,
    scheme: str,
    width: int,
    tmp_path: Path,
) -> None:
    rows = {"type": "object", "properties": {"rows": {"type": "integer"}}}
    flow_id = asking(
        do,
        context,
        question(options=("approve", "reject", "ask me later with a very long option " * 2)),
        question(key="rows", question="How many rows?\nSee the file.", answer_schema=rows),
    )
    options = {"may_control": True, "color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    inbox, page = open_page("/inbox", **options), open_page(f"/flows/{flow_id}", **options)
    for one, name in ((inbox, "inbox"), (page, "flow")):
        one.screenshot(path=tmp_path / f"{name}-{scheme}-{width}.png", full_page=True)
        assert violations(one, axe_script) == []
        assert one.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Cancel").click()
    page.screenshot(path=tmp_path / f"confirm-{scheme}-{width}.png")
    assert violations(page, axe_script) == []


def violations(page: Page, axe_script: str) -> list[str]:
    page.evaluate(axe_script)
    found = page.evaluate("axe.run().then((results) => results.violations)")
    return [f"{item['id']}: {[node['html'][:200] for node in item['nodes'][:3]]}" for item in found]
