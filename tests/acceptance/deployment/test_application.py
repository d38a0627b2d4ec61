"""The application of `tests/application`, at the oldest versions, takes us up as `docs/adoption.md` says."""

import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.packages import make_environment, run
from tests.support.pages import ROOT
from tests.support.processes.host import Host

APPLICATION = ROOT / "tests" / "application"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def their_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment of the application, with what it had and our wheel."""
    folder = tmp_path_factory.mktemp("theirs") / "environment"
    requirements = ["--requirement", APPLICATION / "requirements.txt", f"{wheel}[status]"]
    return make_environment(folder, *requirements, lock="requirements-lowest.txt")


@pytest.fixture
def application(their_python: Path, tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Host]:
    """A host with the application's files."""
    folder = tmp_path / "application"
    shutil.copytree(APPLICATION, folder)
    host = Host(folder, database_url=database_url, redis_url=redis_url)
    host.settings["THEIRS"] = str(their_python)
    yield host
    host.remove()


def seed(host: Host) -> list[str]:
    """Make a flow's rows as the application does; return its ids."""
    ids = [str(uuid4()) for _ in range(3)]
    done = host.run(f"$THEIRS -m scripts.seed {shlex.join(ids)} ann")
    assert done.stdout == "seeded\n"
    return [*ids, "ann"]


def send(host: Host, task: str, *arguments: object) -> None:
    code = f"import tasks; tasks.{task}.delay(*{arguments!r})"
    done = host.run(f"$THEIRS -c {shlex.quote(code)}")
    assert done.returncode == 0, done.stdout


def test_its_own_tests_report_to_memory(their_python, tmp_path):
    shutil.copytree(APPLICATION, tmp_path / "application")
    said = run(their_python, "-m", "pytest", "-q", "tests", folder=tmp_path / "application")
    assert "1 passed" in said


def test_flows_of_its_workers_and_its_api_fill_their_rows_and_stand_on_its_pages(application):
    host = application
    port = host.ports["uvicorn"]
    flows = {name: seed(host) for name in ("scored", "whole", "failed", "api")}
    with (
        host.running("flowctl worker --concurrency=1"),
        host.running("$THEIRS -m celery -A tasks worker --concurrency=2"),
        host.running(f"$THEIRS -m uvicorn api:app --port {port}"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
    ):
        send(host, "score_servers", *flows["scored"], ["one", "two", "three"])
        send(host, "run_whole_flow", *flows["whole"])
        send(host, "fail", *flows["failed"])
        eventually(lambda: _is_up(client), timeout_s=60)
        flow_id, client_id, engagement, user = flows["api"]
        tenant = {"client": client_id, "engagement": engagement, "user": user}
        assert client.post(f"/imports/{flow_id}", params=tenant).json() == {"imported": flow_id}

        look_at_rows(host, flows)
        look_at_pages(host, client, flows["api"])
    assert host.place.letters() == []


def look_at_rows(host: Host, flows: dict[str, list[str]]) -> None:
    ends = {"scored": "completed", "whole": "completed", "failed": "failed", "api": "completed"}
    for name, status in ends.items():
        eventually(partial(_has_status, host, flows[name], status), timeout_s=60)
    row = host.place.row(UUID(flows["scored"][0]))
    told = [(entry["phase"], entry["status"]) for entry in row["phase_transitions"]]
    assert told.count(("check", "completed")) == 3
    assert told[-1] == ("score", "completed")
    assert row["flow_metadata"]["last_progress_update"]["progress"] == 100
    [error] = host.place.row(UUID(flows["failed"][0]))["error_history"]
    assert "no such file" in error["error"]


def look_at_pages(host: Host, client: httpx.Client, flow: list[str]) -> None:
    flow_id, client_id, engagement, user = flow
    assert client.get("/").json() == {"yours": True}
    assert client.get("/flows").json() == {"yours": "flows"}
    token = host.run(
        f"flowctl token --client {client_id} --engagement {engagement} --user {user}"
    ).stdout.strip()
    origin = {"Origin": str(client.base_url).rstrip("/")}
    assert client.post("/ops/signin", data={"token": token}, headers=origin).status_code == 200
    page = client.get(f"/ops/flows/{flow_id}")
    assert page.status_code == 200
    assert f'data-events="/api/v1/flows/{flow_id}/events"' in page.text
    assert client.get("/ops/assets/page.css").status_code == 200
    assert client.get(f"/api/v1/flows/{flow_id}/status").json()["status"] == "completed"
    with client.stream("GET", f"/api/v1/flows/{flow_id}/events") as stream:
        assert next(stream.iter_lines()) != ""


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/").is_success
    except httpx.TransportError:
        return False


def _has_status(host: Host, flow: list[str], status: str) -> bool:
    return bool(host.place.row(UUID(flow[0]))["flow_status"] == status)
