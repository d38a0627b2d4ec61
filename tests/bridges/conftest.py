"""A worker on a database and a Redis of its own, for flows that run in a framework's environment."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterflow.scripts.embedded import EmbeddedRedis
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
