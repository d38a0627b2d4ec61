"""A real orchestrator is answered and cancelled in a browser, and the page shows what it made of that."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from masterflow.domain import FlowContext
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.support.events.reported_flows import flow_of
from tests.support.processes.orchestrators import Orchestrator

_FLOW = """
from masterflow import FlowStopped, create_progress_tracker, phase
tracker = create_progress_tracker("{flow_id}", context)
try:
    with tracker:
        answer = tracker.ask("Approve the mapping?", options=["approve", "reject"], key="mapping").wait()
        print("answered", answer, flush=True)
        for number in range(10_000):
            with phase("map_columns", stoppable=True):
                time.sleep(0.05)
except FlowStopped as stopped:
    print("stopped by", stopped.request.by, flush=True)
"""


@pytest.fixture
def context() -> FlowContext:
    return FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")


@pytest.mark.usefixtures("worker")
def test_a_flow_is_answered_runs_on_and_is_cancelled_while_one_looks(
    open_page: Callable[..., Page],
    do: Callable[[Any], Any],
    context: FlowContext,
    servers: tuple[EmbeddedPostgres, EmbeddedRedis],
    tmp_path: Path,
) -> None:
    flow_id = do(lambda sessions: flow_of(sessions, context))
    settings = {"REDIS_URL": servers[1].url, "ENRICHMENT_SPOOL_DIR": str(tmp_path / "spool")}
    orchestrator = Orchestrator(tmp_path / "one", _FLOW.format(flow_id=flow_id), **settings)
    with orchestrator.process:
        page = open_page(f"/flows/{flow_id}", may_control=True, user_id="bob")
        badge = page.locator(".title .badge")
        page.get_by_role("radio", name="approve").check(timeout=20_000)
        page.get_by_role("button", name="Answer").click()
        expect(page.locator("[data-asked]").filter(has_text="answered")).to_contain_text("bob")
        expect(page.get_by_role("row", name="map columns")).to_be_visible(timeout=10_000)
        expect(badge).to_contain_text("processing")
        assert "answered approve" in orchestrator.log.read_text()
        page.get_by_role("button", name="Cancel").click()
        began = time.monotonic()
        page.get_by_role("button", name="Cancel this flow").click()
        expect(badge).to_contain_text("cancelled", timeout=10_000)
        took_s = time.monotonic() - began
        assert orchestrator.wait() == 0
        assert "stopped by bob" in orchestrator.log.read_text()
    assert took_s < 3, took_s
