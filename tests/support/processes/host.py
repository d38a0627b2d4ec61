"""A host on which everything runs as the README says, and commands are typed as its pages write them."""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from redis import Redis

from masterflow.domain import FlowContext
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.pages import examples
from tests.support.processes.workplace import Workplace

_PROGRAMS: Final = Path(sys.executable).parent
_PROBE_TOKEN: Final = "the-probe-token-of-the-tests"
_JWT_KEY: Final = "a-key-of-the-tests-that-is-long-enough"


class Host:
    """A folder, settings and free ports; `place` reaches the servers and the rows."""

    def __init__(self, folder: Path, *, database_url: str, redis_url: str) -> None:
        self.folder = folder
        self.worker = f"celery@{socket.gethostname()}"
        self.ports = {name: free_port() for name in ("flower", "status", "uvicorn")}
        self.settings = {
            **os.environ,
            "PATH": f"{_PROGRAMS}:{os.environ.get('PATH', os.defpath)}",
            "COLUMNS": "150",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "ENRICHMENT_JWT_KEY": _JWT_KEY,
            "ENRICHMENT_OUTBOX_MAX_BYTES": "1000000",
            "ENRICHMENT_SPOOL_DIR": str(folder / "spool"),
            "ENRICHMENT_STATUS_PROBE_TOKEN": _PROBE_TOKEN,
        }
        self.place = Workplace(folder / "place", database_url=database_url, redis_url=redis_url)
        self._stack = ExitStack()

    def run(self, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Type a command into a shell; its output and its complaints come back together."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.settings | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )

    @contextmanager
    def running(self, command: str, **settings: str) -> Iterator[SupervisedProcess]:
        """Let a command run that does not end by itself."""
        with SupervisedProcess(
            ["bash", "-c", f"exec {command}"],
            env=self.settings | settings,
            folder=self.folder,
            log=self.log,
            grace_s=20,
        ) as process:
            yield process

    def keep_running(self, command: str) -> None:
        """Let a command run until everything is removed."""
        self._stack.enter_context(self.running(command))

    @property
    def log(self) -> Path:
        return self.folder / "processes.log"

    def await_life(self, *names: str) -> None:
        """Wait until workers, or beat, give a sign of life."""
        keys = [f"{KEY_PREFIX}heartbeat:{name}" for name in names]
        with Redis.from_url(self.settings["REDIS_URL"]) as redis:
            eventually(lambda: redis.exists(*keys) == len(keys), timeout_s=60)

    def new_flow(self) -> tuple[UUID, FlowContext]:
        """Return a flow whose master row the application has just made, and its tenant."""
        context, flow_id = new_context(), uuid4()
        self.place.new_flow(context, flow_id)
        return flow_id, context

    def remove(self) -> None:
        """Stop what runs, and delete the folder."""
        self._stack.close()
        self.place.remove()


#: What an application does around the example of an orchestrator.
_DRIVER: Final = """
import asyncio, sys
import flows
from masterflow import tracker
from masterflow.domain import FlowContext

flow_id, client, engagement, user = sys.argv[1:]
context = FlowContext(client_account_id=client, engagement_id=engagement, user_id=user)
asyncio.run(flows.run_flow(flow_id, context, ["one", "two"]))
assert tracker.flush(30)
assert not {"fastapi", "psycopg", "sqlalchemy"} & sys.modules.keys()
"""


def example(name: str) -> str:
    """Return the example of the adoption page whose first line is this file's name."""
    [text] = [text for text in examples("docs/adoption.md") if text.startswith(f"# {name}\n")]
    return text


def orchestrate(host: Host, **settings: str) -> None:
    """Run the adoption page's orchestrator, and see its row filled by the worker that runs."""
    (host.folder / "flows.py").write_text(example("flows.py"))
    flow_id, context = host.new_flow()
    tenant = (context.client_account_id, context.engagement_id, context.user_id)
    command = ["python", "-c", _DRIVER, str(flow_id), *map(str, tenant)]
    done = host.run(shlex.join(command), **settings)
    assert done.returncode == 0, done.stdout
    row = host.place.row(flow_id)
    told = [f"{entry['phase']}:{entry['status']}" for entry in row["phase_transitions"]]
    assert told == [
        "data_import:processing",
        "data_import:completed",
        "field_mapping:processing",
        "field_mapping:completed",
    ]
    assert row["flow_status"] == "completed"
    assert [entry["agent"] for entry in row["agent_collaboration_log"]] == ["Schema Expert"]
