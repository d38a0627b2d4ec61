"""The Python examples of README and adoption page, run as they stand beside an application as described."""

import json
import os
import shlex
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from celery import Celery
from fastapi import FastAPI

from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.repository.settings import DatabaseSettings, RedisSettings
from masterflow.status import page
from masterflow.status.api import probes
from masterflow.status.api.flows import router as flow_status
from masterflow.status.settings import StatusSettings
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.eventually import eventually
from tests.support.pages import PAGES, ROOT, examples
from tests.support.processes.host import Host, example, orchestrate

EXAMPLES = ("flows.py", "tasks.py", "api.py")
APPLICATION = ROOT / "tests" / "application"
PAGE_ENDS = "\n\n# The page on adoption ends here.\n"
THEIR_QUEUE = "celery"


@pytest.fixture
def host(tmp_path, database_url, redis_url):
    """A host on which nothing runs yet, with the files of the page's application."""
    host = Host(tmp_path, database_url=database_url, redis_url=redis_url)
    for name in EXAMPLES:
        (tmp_path / name).write_text(example(name))
    yield host
    host.remove()


def test_every_python_example_is_run_here():
    known = [example(name) for name in (*EXAMPLES, "test_tasks.py")] + examples("README.md")
    assert len(examples("README.md")) == 2  # The first is of crewAI: tests/unit/pages/test_readme.py.
    assert [text for name in PAGES for text in examples(name) if text not in known] == []


@pytest.mark.parametrize("name", [*EXAMPLES, "tests/test_tasks.py"])
def test_the_page_shows_what_the_application_does(name):
    shown = (APPLICATION / name).read_text().split(PAGE_ENDS)[0].rstrip("\n")
    assert example(Path(name).name).rstrip("\n") == shown


README_DRIVER = """
import ast, asyncio, sys
from types import FunctionType
from masterflow import tracker
from masterflow.domain import FlowContext

async def read_servers():
    return ["one", "two"]

flow_id, client, engagement, user = sys.argv[1:]
context = FlowContext(client_account_id=client, engagement_id=engagement, user_id=user)
names = {"flow_id": flow_id, "context": context, "read_servers": read_servers}
code = compile(open("readme.py").read(), "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
asyncio.run(FunctionType(code, names)())
assert tracker.flush(30)
"""


def test_orchestrators_as_the_pages_write_them_fill_their_rows(host):
    with host.running("flowctl worker --concurrency=1"):
        host.await_life(host.worker)
        orchestrate(host)
        (host.folder / "readme.py").write_text(examples("README.md")[1])
        flow_id, context = host.new_flow()
        ids = (flow_id, context.client_account_id, context.engagement_id, context.user_id)
        done = host.run(shlex.join(["python", "-c", README_DRIVER, *map(str, ids)]))
        assert done.returncode == 0, done.stdout
        row = host.place.row(flow_id)
    assert row["flow_status"] == "completed"
    assert row["phase_transitions"][1]["metadata"]["rows"] == 2
    assert row["agent_collaboration_log"][0]["details"] == {"confidence": 0.93}


# -- an application with Celery


class TheirApplication:
    """Sends the page's task as the application would, on the same Redis database."""

    def __init__(self, host):
        self._host = host
        self._celery = Celery("theirs", broker=host.settings["REDIS_URL"], set_as_current=False)

    def send(self):
        """Send one task; return the flow that it imports for."""
        flow_id, context = self._host.new_flow()
        ids = (flow_id, context.client_account_id, context.engagement_id, context.user_id)
        self._celery.send_task("tasks.import_data", [str(it) for it in ids])
        return flow_id

    @property
    def waiting(self):
        return self._host.place.redis.llen(THEIR_QUEUE)

    def inspect(self, what):
        """Return what `celery inspect` is answered, by node."""
        command = f"celery -A tasks inspect {what} --json --timeout 1"
        done = self._host.run(command)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def theirs(host):
    return TheirApplication(host)


def is_imported(host, flow_id):
    entries = host.place.row(flow_id)["phase_transitions"] or []
    return [entry["status"] for entry in entries] == ["processing", "completed"]


def retry(host):
    """Send an event of ours; return its flow."""
    flow_id, context = host.new_flow()
    host.place.publish([new_event(FlowRetried, context, flow_id)], context)
    return flow_id


def is_retried(host, flow_id):
    return host.place.row(flow_id)["retry_count"] == 1


def test_your_celery_application_and_ours_take_nothing_of_each_other_on_one_redis(host, theirs):
    flows = [theirs.send() for _ in range(3)]
    with host.running("flowctl worker --concurrency=1"):
        ours = retry(host)
        eventually(lambda: is_retried(host, ours), timeout_s=60)
        # It worked, and left what is not its own.
        assert theirs.waiting == 3
    with host.running("celery -A tasks worker --concurrency=1"):
        ours = retry(host)
        eventually(lambda: theirs.waiting == 0, timeout_s=60)
        # Both workers have the same name, and each hears only its own commands.
        eventually(lambda: [*theirs.inspect("ping")] == [host.worker], timeout_s=30)
        total = {"tasks.import_data": 3}
        eventually(lambda: theirs.inspect("stats")[host.worker]["total"] == total, timeout_s=30)
        assert not is_retried(host, ours)
        with host.running("flowctl worker --concurrency=1"):
            eventually(lambda: is_retried(host, ours), timeout_s=60)
            eventually(lambda: all(is_imported(host, flow_id) for flow_id in flows), timeout_s=30)
            assert [*theirs.inspect("ping")] == [host.worker]
    assert host.place.letters() == []
    assert host.place.redis.llen(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}") == 0


NEIGHBOUR = """
from celery import Celery, current_app
app = Celery("yours", broker="redis://yours/0")
before = dict(app.conf)
import uuid
from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried
context = FlowContext(client_account_id=uuid.uuid4(), engagement_id=uuid.uuid4(), user_id="ann")
tracker.report(FlowRetried, context, uuid.uuid4())
assert not tracker.flush(1), "nobody listens"
assert current_app._get_current_object() is app
assert dict(app.conf) == before
assert "masterflow.tasks.app" not in __import__("sys").modules
"""


def test_an_orchestrator_keeps_its_own_celery_application(tmp_path):
    settings = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0", "ENRICHMENT_SPOOL_DIR": str(tmp_path)}
    settings["ENRICHMENT_EXIT_TIMEOUT_S"] = "0"
    subprocess.run([sys.executable, "-c", NEIGHBOUR], env=settings, cwd=ROOT, check=True)


# -- an application with FastAPI


def test_your_fastapi_application_serves_the_status_of_flows_beside_its_own_routes(host):
    flow_id, context = host.new_flow()
    tenant = f"--client {context.client_account_id} --engagement {context.engagement_id}"
    token = host.run(f"flowctl token {tenant} --user ann").stdout.strip()
    url = f"http://127.0.0.1:{host.ports['uvicorn']}"
    with (
        host.running(f"uvicorn api:app --port {host.ports['uvicorn']}"),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        eventually(lambda: answer_of(client, "/") == (200, {"yours": True}), timeout_s=30)
        assert answer_of(client, "/api/v1/flows")[0] == 401
        client.headers["Authorization"] = f"Bearer {token}"
        status, document = answer_of(client, "/api/v1/flows")
        assert (status, [flow["flow_id"] for flow in document["flows"]]) == (200, [str(flow_id)])
        assert answer_of(client, "/nowhere") == (404, {"detail": "Not Found"})


def answer_of(client, path):
    """Return status and document, or nothing while nobody listens."""
    try:
        answer = client.get(path)
    except httpx.ConnectError:
        return None, None
    return answer.status_code, answer.json()


@pytest.mark.anyio
async def test_an_application_keeps_its_own_lifespan_and_may_have_page_and_probes_too(
    database_url, redis_url
):
    told = []

    @asynccontextmanager
    async def theirs(_app):
        told.append("began")
        yield
        told.append("ended")

    app = FastAPI(lifespan=theirs)
    for router in (flow_status, probes.router, page.router):
        app.include_router(router)
    app.state.status_settings = StatusSettings.model_validate({"ENRICHMENT_JWT_KEY": "k" * 32})
    app.state.database_settings = DatabaseSettings.model_validate({"DATABASE_URL": database_url})
    app.state.redis_settings = RedisSettings.model_validate({"REDIS_URL": redis_url})
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://here") as client,
    ):
        assert (await client.get("/health/live")).text == "alive\n"
        assert (await client.get("/signin")).status_code == 200
        assert (await client.get("/api/v1/flows")).status_code == 401
        assert told == ["began"]
    assert told == ["began", "ended"]
