"""A running orchestrator is told what was asked of its flow, and obeys where its code says so."""

import time
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from masterflow.domain import FlowContext
from tests.support.eventually import eventually
from tests.support.processes.orchestrators import Orchestrator
from tests.support.processes.status_site import StatusSite
from tests.support.processes.workplace import Workplace

_CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")

_FLOW = """
from masterflow import FlowStopped, create_progress_tracker, phase
tracker = create_progress_tracker("{flow_id}", context)
try:
    with tracker:
        for number in range(10_000):
            with phase("work", stoppable=True):
                time.sleep(0.05)
except FlowStopped as stopped:
    print("stopped by", stopped.request.by, stopped.request.reason, flush=True)
"""


@pytest.fixture
def site(workplace: Workplace, tmp_path: Path) -> StatusSite:
    environment = workplace.environment
    return StatusSite(
        tmp_path / "site", database_url=environment["DATABASE_URL"], redis_url=environment["REDIS_URL"]
    )


def post(site: StatusSite, flow_id: UUID, action: str, **body: str) -> httpx.Response:
    headers = site.bearer(_CONTEXT, may_control=True, user_id="bob")
    return site.post(f"/api/v1/flows/{flow_id}/{action}", headers=headers, json=body)


def test_a_running_flow_pauses_goes_on_and_is_cancelled(
    workplace: Workplace, site: StatusSite, tmp_path: Path
) -> None:
    flow_id = workplace.new_flow(_CONTEXT, uuid4())
    settings = {
        "REDIS_URL": workplace.settings.redis_url,
        "ENRICHMENT_SPOOL_DIR": str(tmp_path / "spool"),
    }
    orchestrator = Orchestrator(tmp_path / "one", _FLOW.format(flow_id=flow_id), **settings)
    path, held = f"/api/v1/flows/{flow_id}/status", ["cancel", "pause"]
    with site, orchestrator.process:

        def status() -> str:
            return str(workplace.row(flow_id)["flow_status"])

        eventually(lambda: status() == "processing", timeout_s=20)
        assert post(site, flow_id, "pause", reason="lunch").json()["state"] == "accepted"
        eventually(lambda: status() == "paused")
        assert post(site, flow_id, "pause").status_code == 409
        assert post(site, flow_id, "resume").json()["state"] == "accepted"
        eventually(lambda: status() == "processing")
        # Its process holds it, so it is not closed over its head.
        eventually(lambda: site.get(path, headers=site.bearer(_CONTEXT)).json()["possible_actions"] == held)
        refused = post(site, flow_id, "fail").json()["detail"]
        assert refused == "The flow's process lives: cancel the flow instead."
        # And the row says that it has ended once the code has.
        began = time.monotonic()
        assert post(site, flow_id, "cancel", reason="wrong file").json()["state"] == "accepted"
        assert orchestrator.wait() == 0
        assert time.monotonic() - began < 3
        eventually(lambda: status() == "cancelled")
        assert "stopped by bob wrong file" in orchestrator.log.read_text()
        metadata = workplace.row(flow_id)["flow_metadata"]
        assert (metadata["cancelled_by"], metadata["cancel_reason"]) == ("bob", "wrong file")
        assert post(site, flow_id, "cancel").status_code == 409
