"""What runs flows of frameworks in their environment, and a worker that makes rows of their reports."""

import json
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.events import AnyEvent, parse_event
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.embedded import EmbeddedRedis
from tests.support.events.flows import row_of
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database


@pytest.fixture(scope="session")
def workplace(postgres_server: str, database_template: str, server_folder: Path) -> Iterator[Workplace]:
    folder = server_folder / f"bridges-{uuid.uuid4().hex}"
    with (
        temporary_database(postgres_server, template=database_template) as database_url,
        EmbeddedRedis(folder / "redis") as server,
    ):
        place = Workplace(folder, database_url=database_url, redis_url=server.url)
        with place.worker("--concurrency", "1"):
            yield place
    server.remove()
    place.remove()


Told = dict[str, list[AnyEvent]]
ReportsOf = Callable[[str], Told]

_PYTHON = Path(__file__).parents[2] / ".local" / "crewai" / "bin" / "python"


@pytest.fixture(scope="session")
def reports_of() -> ReportsOf:
    """What runs a module's scenarios in the frameworks' environment, and returns what each reported."""
    if not _PYTHON.exists():
        missing = "needs .local/crewai: bash scripts/environment.sh crewai"
        (pytest.fail if "CI" in os.environ else pytest.skip)(missing)

    def run(module: str) -> Told:
        root = _PYTHON.parents[3]
        environment = {"PYTHONPATH": str(root), "PATH": os.environ["PATH"], "LANGSMITH_TRACING": "false"}
        done = subprocess.run(
            [str(_PYTHON), "-m", module],
            cwd=root, env=environment, capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4_000:]
        said = json.loads(done.stdout)
        return {name: [parse_event(event) for event in events] for name, events in said.items()}

    return run


@pytest.fixture
async def row(
    told: Told, session_factory: async_sessionmaker[AsyncSession]
) -> AsyncIterator[Callable[[str], Any]]:
    """What merges what a scenario reported, and returns the row."""
    async with session_factory() as session:

        async def merged(name: str) -> RowMapping:
            await apply_events(session, told[name])
            return await row_of(session, told[name][0].flow_id)

        yield merged
