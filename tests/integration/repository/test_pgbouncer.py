import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain import DatabaseUnavailable
from masterflow.repository.database import DatabaseSettings, make_engine, session_factory, translated_errors
from masterflow.repository.flow_state_store import PostgresFlowStateStore
from masterflow.repository.tables import create_tables
from tests.support.events.stores import TENANT, add_flow
from tests.support.servers.pgbouncer import pgbouncer_before

pytestmark = pytest.mark.anyio


@pytest.fixture
def pgbouncer_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    with pgbouncer_before(database_url, tmp_path) as url:
        yield url


@pytest.fixture
async def engine(pgbouncer_url: str) -> AsyncIterator[AsyncEngine]:
    settings = DatabaseSettings(database_url=pgbouncer_url, pgbouncer=True, lock_timeout_s=2)
    engine = make_engine(settings, pool_size=8)
    yield engine
    await engine.dispose()


async def test_many_transactions_share_two_connections(engine: AsyncEngine) -> None:
    await create_tables(engine)
    sessions = session_factory(engine)
    flow_ids = [await add_flow(sessions) for _ in range(8)]

    async def save_often(flow_id: object) -> int:
        version = 0
        for n in range(10):
            async with translated_errors(), sessions.begin() as db:
                store = PostgresFlowStateStore(db, TENANT)
                version = await store.save_state(str(flow_id), {"n": n}, "data_import", version)
                limit = await db.scalar(text("select current_setting('lock_timeout')"))
                assert limit == "2s"
        return version

    assert await asyncio.gather(*(save_often(flow_id) for flow_id in flow_ids)) == [10] * 8


async def test_a_limit_does_not_reach_other_users_of_the_connection(
    engine: AsyncEngine, pgbouncer_url: str
) -> None:
    async with engine.begin() as connection:
        assert await connection.scalar(text("select current_setting('lock_timeout')")) == "2s"
    async with await psycopg.AsyncConnection.connect(pgbouncer_url, autocommit=True) as other:
        for _ in range(4):
            row = await (await other.execute("select current_setting('lock_timeout')")).fetchone()
            assert row == ("0",)


async def test_a_lock_is_not_waited_for_longer_than_the_limit(engine: AsyncEngine) -> None:
    async with engine.begin() as holder, engine.begin() as waiting:
        key = {"key": uuid4().int % 2**31}
        await holder.execute(text("select pg_advisory_xact_lock(:key)"), key)
        with pytest.raises(DatabaseUnavailable, match="LockNotAvailable"):
            async with translated_errors():
                await waiting.execute(text("select pg_advisory_xact_lock(:key)"), key)
        await waiting.rollback()
