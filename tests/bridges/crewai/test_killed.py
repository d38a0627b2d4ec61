"""What becomes of a flow whose process dies, and of flows that have ended in one that lives on."""

import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain.liveness import is_lost
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from tests.bridges.crewai.conftest import ROOT, Application
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def hang(application: Application) -> Any:
    """What starts a process with a flow that hangs, on the spool that all share."""
    started: list[subprocess.Popen[bytes]] = []

    def start(flow_id: UUID) -> subprocess.Popen[bytes]:
        command = [str(application.python), "-m", "tests.bridges.crewai.scenarios", "hanging"]
        environment = application.environment | {"HANGING_FLOW": str(flow_id)}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def is_held(application: Application, flow_id: UUID) -> bool:
    redis = application.place.redis
    senders: Any = redis.zrange(ALIVE_KEY, 0, -1)
    return any(redis.hexists(holds_key(sender), str(flow_id)) for sender in senders)


def is_row_lost(application: Application, flow_id: UUID) -> bool:
    row = application.row(str(flow_id))
    return is_lost(row["flow_status"], row["flow_metadata"])


def test_a_flow_whose_process_is_killed_is_lost(application: Application, hang: Callable[..., Any]) -> None:
    flow_id = uuid4()
    process = hang(flow_id)
    eventually(partial(is_held, application, flow_id), timeout_s=60)
    eventually(lambda: (application.place.find_row(flow_id) or {}).get("flow_status") == "processing")
    assert not is_row_lost(application, flow_id)
    process.kill()
    process.wait()
    # Whoever of ours lives on the host finds it dead.
    application.run("sequence")
    eventually(partial(is_row_lost, application, flow_id), timeout_s=15)
    lost = application.row(str(flow_id))["flow_metadata"]["lost"]
    assert lost["cause"] == "witnessed"
    assert not is_held(application, flow_id)


@pytest.mark.parametrize("name", ["sequence", "parallel", "cycle"])
def test_a_flow_that_has_ended_is_held_no_more_and_nobody_is_asked_about_it(seen: Any, name: str) -> None:
    assert seen[name]["held_flows"] == []
    assert seen[name]["asked_for_tenants"] == 0
