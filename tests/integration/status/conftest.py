"""A status API for the tests of one file, on a database of their own."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.repository.database import session_factory as make_session_factory
from tests.support.processes.status_site import StatusSite
from tests.support.servers.databases import engine_for, temporary_database

_SETTINGS = {
    "ENRICHMENT_STATUS_RATE_PER_S": "500",
    "ENRICHMENT_STATUS_WRONG_TOKENS_PER_S": "500",
    "ENRICHMENT_TRACE_URL": "https://traces.example/{trace_id}",
}


@pytest.fixture(scope="module")
def site_and_database(
    postgres_server: str, database_template: str, redis_server: str, server_folder: Path
) -> Iterator[tuple[StatusSite, str]]:
    """Tests keep apart by their tenants."""
    folder = server_folder / f"site-{uuid.uuid4().hex}"
    with (
        temporary_database(postgres_server, template=database_template) as database_url,
        StatusSite(folder, database_url=database_url, redis_url=redis_server, **_SETTINGS) as site,
    ):
        yield site, database_url


@pytest.fixture
def site(site_and_database: tuple[StatusSite, str]) -> StatusSite:
    return site_and_database[0]


@pytest.fixture
async def sessions(
    site_and_database: tuple[StatusSite, str],
) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
    engine = engine_for(site_and_database[1])
    yield make_session_factory(engine)
    await engine.dispose()
