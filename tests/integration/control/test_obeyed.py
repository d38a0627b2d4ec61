"""A running orchestrator is told what was asked of its flow, and obeys where its code says so."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from masterflow.domain import FlowContext
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from tests.support.eventually import eventually
from tests.support.processes.orchestrators import Orchestrator
from tests.support.processes.status_site import StatusSite
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database

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


@pytest.fixture(scope="module", params=["Redis", "RabbitMQ"])
def place(
    request: pytest.FixtureRequest, postgres_server: str, database_template: str, server_folder: Path
) -> Iterator[Workplace]:
    """A workplace with a worker, on either broker."""
    folder = server_folder / f"workplace-{uuid4().hex}"
    with ExitStack() as stack:
        database = temporary_database(postgres_server, template=database_template)
        database_url, redis = stack.enter_context(database), EmbeddedRedis(folder / "redis")
        settings = {"database_url": database_url, "redis_url": stack.enter_context(redis).url}
        if request.param == "RabbitMQ":
            request.getfixturevalue("debian_package")("rabbitmq-server", "rabbitmq-server")
            settings["CELERY_BROKER_URL"] = stack.enter_context(RabbitMQ(folder / "rabbitmq")).url
        place = Workplace(folder, **settings)
        stack.callback(place.remove)
        stack.enter_context(place.worker())
        yield place


@pytest.fixture
def settings(place: Workplace) -> dict[str, str]:
    """Where broker and Redis are."""
    names = ("REDIS_URL", "CELERY_BROKER_URL")
    return {name: value for name, value in place.environment.items() if name in names}


@pytest.fixture
def site(place: Workplace, settings: dict[str, str], tmp_path: Path) -> StatusSite:
    others = {name: value for name, value in settings.items() if name != "REDIS_URL"}
    database_url = place.environment["DATABASE_URL"]
    return StatusSite(tmp_path / "site", database_url=database_url, redis_url=settings["REDIS_URL"], **others)


def post(site: StatusSite, flow_id: UUID, action: str, **body: str) -> httpx.Response:
    headers = site.bearer(_CONTEXT, may_control=True, user_id="bob")
    return site.post(f"/api/v1/flows/{flow_id}/{action}", headers=headers, json=body)


@pytest.mark.long("Redis")
def test_a_running_flow_pauses_goes_on_and_is_cancelled(
    place: Workplace, settings: dict[str, str], site: StatusSite, tmp_path: Path
) -> None:
    flow_id = place.new_flow(_CONTEXT, uuid4())
    settings["ENRICHMENT_SPOOL_DIR"] = str(tmp_path / "spool")
    orchestrator = Orchestrator(tmp_path / "one", _FLOW.format(flow_id=flow_id), **settings)
    path, held = f"/api/v1/flows/{flow_id}/status", ["cancel", "pause"]
    with site, orchestrator.process:

        def status() -> str:
            return str(place.row(flow_id)["flow_status"])

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
        metadata = place.row(flow_id)["flow_metadata"]
        assert (metadata["cancelled_by"], metadata["cancel_reason"]) == ("bob", "wrong file")
        assert post(site, flow_id, "cancel").status_code == 409
