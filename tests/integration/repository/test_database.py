import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain import DatabaseUnavailable
from masterflow.domain.errors import DatabaseReadOnly, RightsMissing, TablesUnsuitable
from masterflow.repository.database import DatabaseSettings, make_engine, session_factory, translated_errors
from masterflow.repository.tables import create_tables
from tests.support.servers.databases import temporary_database

pytestmark = pytest.mark.anyio

SETTINGS_QUERY = text(
    "select current_setting('lock_timeout'), current_setting('statement_timeout'),"
    " current_setting('idle_in_transaction_session_timeout'), current_setting('timezone'),"
    " current_setting('jit')"
)


@pytest.fixture
async def limited(database_url: str):
    """An engine that waits 0.2 s for a lock, 0.5 s for a statement, and has two connections."""
    settings = DatabaseSettings(
        database_url=database_url, lock_timeout_s=0.2, statement_timeout_s=0.5, connect_timeout_s=1
    )
    engine = make_engine(settings, pool_size=2)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"username": "nobody"}, 'role "nobody" does not exist'),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
    ],
    ids=["role", "database"],
)
async def test_a_connection_that_is_refused_says_why(database_url: str, change: Any, reason: str) -> None:
    url = make_url(database_url).set(**change).render_as_string(hide_password=False)
    engine = make_engine(DatabaseSettings(database_url=url))
    with pytest.raises(DatabaseUnavailable, match=reason):
        async with translated_errors(), engine.connect():
            pass
    await engine.dispose()


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_every_transaction_has_time_limits_and_utc(database_url: str, pgbouncer: bool) -> None:
    engine = make_engine(
        DatabaseSettings(database_url=database_url, lock_timeout_s=1.5, pgbouncer=pgbouncer),
        application_name="checked",
    )
    for _ in range(2):
        async with engine.begin() as connection:
            await connection.execute(text("set local timezone = 'Asia/Tokyo'"))
        async with engine.begin() as connection:
            found = (await connection.execute(SETTINGS_QUERY)).one()
            assert found == ("1500ms", "30s", "1min", "UTC", "off")
            assert await connection.scalar(text("select current_setting('application_name')")) == "checked"
    await engine.dispose()


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_values_come_as_they_are_whatever_a_database_sets(database_url: str, pgbouncer: bool) -> None:
    engine = make_engine(DatabaseSettings(database_url=database_url))
    async with engine.begin() as connection:
        name = await connection.scalar(text("select current_database()"))
        for setting in ("datestyle = 'SQL, DMY'", "extra_float_digits = -15"):
            await connection.execute(text(f'alter database "{name}" set {setting}'))
        await connection.execute(text(f'alter database "{name}" set standard_conforming_strings = off'))
    await engine.dispose()
    engine = make_engine(DatabaseSettings(database_url=database_url, pgbouncer=pgbouncer))
    async with engine.begin() as connection:
        query = text("select timestamptz '2026-11-02 09:00:00.5+00', 33.3333::float8, length('\\\\d')")
        moment, number, length = (await connection.execute(query)).one()
        assert moment == datetime(2026, 11, 2, 9, 0, 0, 500_000, UTC)
        assert (number, length) == (33.3333, 3)
    await engine.dispose()


@pytest.mark.parametrize(
    ("repeats_itself", "pgbouncer", "prepared"), [(True, False, 1), (False, False, 0), (True, True, 0)]
)
async def test_what_a_worker_executes_is_prepared_at_once(
    database_url: str, repeats_itself: bool, pgbouncer: bool, prepared: int
) -> None:
    settings = DatabaseSettings(database_url=database_url, pgbouncer=pgbouncer)
    engine = make_engine(settings, repeats_itself=repeats_itself)
    looked_for = text("select count(*) from pg_prepared_statements where statement like '%47' || '11%'")
    async with engine.connect() as connection:
        await connection.execute(text("select 4711"))
        assert await connection.scalar(looked_for) == prepared
    await engine.dispose()


async def test_behind_pgbouncer_nothing_outlives_its_transaction(database_url: str) -> None:
    engine = make_engine(DatabaseSettings(database_url=database_url, pgbouncer=True))
    async with engine.connect() as connection:
        for _ in range(10):
            await connection.execute(text("select 1"))
        prepared = await connection.scalar(text("select count(*) from pg_prepared_statements"))
        await connection.commit()
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.set_autocommit(True)
        left = await (await raw.execute("select current_setting('lock_timeout')")).fetchone()
        await raw.set_autocommit(False)
    await engine.dispose()
    assert prepared == 0
    assert left == ("0",)


async def test_big_values_are_compressed_with_lz4_where_the_server_can(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        offered = await connection.scalar(
            text("select 'lz4' = any (enumvals) from pg_settings where name = 'default_toast_compression'")
        )
        used = await connection.scalar(text("select current_setting('default_toast_compression')"))
    assert used == ("lz4" if offered else "pglz")


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://localhost:1/nowhere", "postgresql+psycopg://no.such.host.invalid/nowhere"]
)
async def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    engine = make_engine(DatabaseSettings(database_url=url, connect_timeout_s=2))
    with pytest.raises(DatabaseUnavailable, match="try again later"):
        async with translated_errors(), engine.connect():
            pass
    await engine.dispose()


async def test_a_lock_that_is_not_granted_in_time_is_unavailable(limited: AsyncEngine) -> None:
    async with limited.begin() as holder, limited.connect() as waiting:
        await holder.execute(text("select pg_advisory_xact_lock(1)"))
        with pytest.raises(DatabaseUnavailable, match="LockNotAvailable"):
            async with translated_errors():
                await waiting.execute(text("select pg_advisory_xact_lock(1)"))


async def test_a_statement_that_takes_too_long_is_unavailable(limited: AsyncEngine) -> None:
    async with limited.connect() as connection:
        with pytest.raises(DatabaseUnavailable, match="QueryCanceled"):
            async with translated_errors():
                await connection.execute(text("select pg_sleep(10)"))


async def test_a_pool_without_a_free_connection_is_unavailable(limited: AsyncEngine) -> None:
    async with limited.connect() as one, limited.connect() as two:
        await asyncio.gather(one.execute(text("select 1")), two.execute(text("select 1")))
        with pytest.raises(DatabaseUnavailable, match="pool"):
            async with translated_errors(), limited.connect():
                pass


async def test_a_killed_connection_is_unavailable_and_the_next_one_works(limited: AsyncEngine) -> None:
    async with limited.connect() as victim, limited.connect() as killer:
        pid = await victim.scalar(text("select pg_backend_pid()"))
        await killer.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with pytest.raises(DatabaseUnavailable):
            async with translated_errors():
                await victim.execute(text("select 1"))
    async with translated_errors(), limited.connect() as connection:
        assert await connection.scalar(text("select 1")) == 1


async def test_a_connection_that_died_in_the_pool_is_not_handed_out(limited: AsyncEngine) -> None:
    async with limited.connect() as idle:
        pid = await idle.scalar(text("select pg_backend_pid()"))
    url = limited.url.set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as killer:
        await killer.execute("select pg_terminate_backend(%s, 5000)", (pid,))
    async with translated_errors(), limited.connect() as connection:
        assert await connection.scalar(text("select 1")) == 1


async def test_a_deadlock_is_unavailable_for_one_of_the_two(database_url: str) -> None:
    engine = make_engine(DatabaseSettings(database_url=database_url))

    async def lock_both(first: int, second: int) -> None:
        async with translated_errors(), engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": first})
            await both_hold_one.wait()
            await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": second})

    both_hold_one = asyncio.Barrier(2)
    results = await asyncio.gather(lock_both(1, 2), lock_both(2, 1), return_exceptions=True)
    await engine.dispose()
    assert [str(result) for result in results if isinstance(result, DatabaseUnavailable)] == [
        "Postgres is not available for now (DeadlockDetected); try again later."
    ]
    assert None in results


async def test_a_server_that_takes_no_writes_is_read_only(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("set transaction read only"))
        with pytest.raises(
            DatabaseReadOnly, match=r"takes no writes .*read-only transaction.*flowctl doctor"
        ):
            async with translated_errors():
                await connection.execute(text("create table written (id int)"))


async def test_a_role_without_a_right_is_told_so(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("create role limited"))
        await connection.execute(text("grant usage on schema migration to limited"))
        await connection.execute(text("set local role limited"))
        with pytest.raises(
            RightsMissing, match=r"permission denied for table discovery_flows.*what to grant"
        ):
            async with translated_errors():
                await connection.execute(text("select from migration.discovery_flows"))


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("select * from migration.no_such_table", "make it with `flowctl init-db`"),
        ("select migration.no_such_function()", "`flowctl doctor` says what to change"),
        ("select no_such_column from migration.discovery_flows", "`flowctl doctor` says what to change"),
        ("select coalesce(phase_state, '{}'::json) from migration.discovery_flows", "`flowctl doctor` says"),
    ],
)
async def test_tables_of_another_shape_are_told_so(engine: AsyncEngine, statement: str, advice: str) -> None:
    async with engine.connect() as connection:
        with pytest.raises(TablesUnsuitable, match=advice):
            async with translated_errors():
                await connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("select from from", ProgrammingError),
        ("insert into migration.discovery_flows (id) values (null)", IntegrityError),
    ],
)
async def test_an_error_that_stays_passes_as_it_is(
    engine: AsyncEngine, statement: str, error: type[Exception]
) -> None:
    async with engine.connect() as connection:
        with pytest.raises(error):
            async with translated_errors():
                await connection.execute(text(statement))


async def test_an_error_does_not_quote_what_was_to_be_stored(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(ProgrammingError) as caught:
            await connection.execute(text("select no_such_function(:value)"), {"value": "pass-phrase"})
    assert "pass-phrase" not in str(caught.value)


async def test_rows_stay_readable_after_a_commit(engine: AsyncEngine) -> None:
    from masterflow.repository.tables import DiscoveryFlow

    async with session_factory(engine)() as db:
        row = DiscoveryFlow(
            flow_id=uuid4(), client_account_id=uuid4(), engagement_id=uuid4(), user_id="ana", flow_name="f"
        )
        db.add(row)
        await db.commit()
        assert row.flow_name == "f"


async def test_a_database_without_an_encoding_gives_text_too(postgres_server: str) -> None:
    with temporary_database(postgres_server, encoding="SQL_ASCII") as url:
        engine = make_engine(DatabaseSettings(database_url=url))
        await create_tables(engine)
        async with engine.connect() as connection:
            said = (
                await connection.execute(text("select current_setting('server_encoding'), 'München'"))
            ).one()
        await engine.dispose()
    assert said == ("SQL_ASCII", "München")
