from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from tests.support.eventually import eventually
from tests.support.processes.orchestrators import Orchestrator
from tests.support.servers.engine import docker_engine

if TYPE_CHECKING:
    from tests.support.servers.containers import Yard

# It pulls and builds images where they are not there yet.
pytestmark = pytest.mark.timeout(900)

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")
FLOW_ID = UUID(int=3)
UNTIL_TOLD = """
while not os.path.exists("enough"):
    say()
    time.sleep(0.1)
sys.exit(not tracker.flush(90))
"""


@pytest.fixture(scope="module")
def yard(server_folder) -> Iterator["Yard"]:
    with docker_engine() as engine:
        # Only now, because it takes two seconds.
        from tests.support.servers.containers import built_yard

        with built_yard(engine, server_folder / f"yard-{uuid4().hex}") as yard:
            yard.place.new_flow(CONTEXT, FLOW_ID)
            yield yard


@pytest.fixture
def reporting(yard, tmp_path):
    """What reports events while something happens, until all are confirmed; it gives what counts them."""

    @contextmanager
    def reporting():
        servers = {name: yard.place.environment[name] for name in ("DATABASE_URL", "REDIS_URL")}
        settings = {"ENRICHMENT_CONFIRM_TIMEOUT_S": "2", "ENRICHMENT_SPOOL_DIR": str(tmp_path / "spool")}
        orchestrator = Orchestrator(tmp_path / "orchestrator", UNTIL_TOLD, **servers, **settings)
        try:
            yield lambda: len(set(entries(yard)) & set(orchestrator.accepted))
            (orchestrator.folder / "enough").touch()
            assert orchestrator.wait(120) == 0, orchestrator.log.read_text()
        except AssertionError as error:
            error.add_note(f"{orchestrator.log.read_text()[-2000:]}\n{yard.worker.logs()[-2000:]}")
            raise
        finally:
            orchestrator.process.stop()
        newest = orchestrator.accepted[-100:]
        assert entries(yard)[-len(newest) :] == newest

    return reporting


def entries(yard):
    return [entry["id"] for entry in yard.place.row(FLOW_ID)["agent_collaboration_log"]]


def test_an_event_goes_in_and_stands_in_the_row(reporting):
    with reporting() as merged:
        eventually(merged, timeout_s=30)


def test_a_killed_worker_that_is_started_again_loses_nothing(yard, reporting):
    with reporting() as merged:
        eventually(lambda: merged() > 5, timeout_s=30)
        yard.worker.kill()
        assert yard.worker.container.status == "exited"
        seen = merged()
        yard.worker.restart()
        eventually(lambda: merged() > seen, timeout_s=60)


def test_a_restarted_redis_loses_nothing_and_the_worker_comes_back_by_itself(yard, reporting):
    with reporting() as merged:
        eventually(lambda: merged() > 5, timeout_s=30)
        yard.broker.restart()
        seen = merged()
        eventually(lambda: merged() > seen, timeout_s=60)
    yard.worker.container.reload()
    assert yard.worker.container.status == "running"
