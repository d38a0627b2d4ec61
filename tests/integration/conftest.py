"""Workplaces for tests with real workers."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masterflow.domain import FlowContext
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.events.flows import new_context
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database


@pytest.fixture(scope="module")
def manned_workplace(
    postgres_server: str, database_template: str, server_folder: Path
) -> Iterator[tuple[Workplace, SupervisedProcess]]:
    """A database and a Redis of this file's own, with a worker; tests keep apart by their flows."""
    folder = server_folder / f"workplace-{uuid.uuid4().hex}"
    with (
        temporary_database(postgres_server, template=database_template) as database_url,
        EmbeddedRedis(folder / "redis") as server,
    ):
        place = Workplace(
            folder, database_url=database_url, redis_url=server.url, ENRICHMENT_FLOW_GRACE_S="3"
        )
        with place.worker("--concurrency", "2") as process:
            yield place, process
    server.remove()
    place.remove()


@pytest.fixture
def workplace(manned_workplace: tuple[Workplace, SupervisedProcess]) -> Workplace:
    return manned_workplace[0]


@pytest.fixture
def worker(manned_workplace: tuple[Workplace, SupervisedProcess]) -> SupervisedProcess:
    return manned_workplace[1]


@pytest.fixture
def make_workplace(
    database_url: str, own_redis: EmbeddedRedis, tmp_path: Path
) -> Iterator[Callable[..., Workplace]]:
    """What makes a workplace without a worker, on a Redis that the test may stop; settings as keywords."""
    made: list[Workplace] = []

    def make(database_url: str = database_url, redis_url: str = own_redis.url, **settings: str) -> Workplace:
        folder = tmp_path / f"workplace-{len(made)}"
        made.append(Workplace(folder, database_url=database_url, redis_url=redis_url, **settings))
        return made[-1]

    yield make
    for place in made:
        place.remove()


@pytest.fixture
def context() -> FlowContext:
    return new_context()
