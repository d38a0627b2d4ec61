from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL, make_url, text

from masterflow.repository.database import DatabaseSettings, make_engine
from masterflow.scripts.embedded import EmbeddedPostgres
from masterflow.scripts.supervise.ports import free_port

pytestmark = pytest.mark.anyio

#: Forms that applications have of one address, of which nothing answers at {away}.
FORMS = [
    "postgres://{enter}@{host}:{port}/{database}",
    "postgresql://{enter}@{host}:{port}/{database}",
    "postgresql+asyncpg://{enter}@{host}:{port}/{database}?ssl=prefer&prepared_statement_cache_size=0",
    "postgresql+psycopg2://{enter}@{host}:{port}/{database}",
    " postgresql+psycopg_async://{enter}@{host}:{port}/{database} ",
    "POSTGRESQL://{enter}@{host}:{port}/{database}",
    "postgresql://{enter}@{socket}:{port}/{database}",
    "postgresql://{enter}@127.0.0.1:{away},{host}:{port}/{database}",
    "postgresql+asyncpg://{enter}@127.0.0.1:{away},{host}:{port}/{database}?target_session_attrs=read-write",
    "postgresql+psycopg://{enter}@/{database}?host=127.0.0.1:{away}&host={host}:{port}",
    "postgresql://{enter}@{host}:{port}/{database}?pgbouncer=true&connection_limit=1&schema=public",
    "postgresql://{enter}@{host}:{port}/{database}?sslmode=prefer&channel_binding=prefer",
    "postgresql://{enter}@{host}:{port}/{database}?connect_timeout=3&application_name=mine",
    "postgresql://{enter}@{host}:{port}/{database}?client_encoding=latin1&prepare_threshold=0",
    "postgresql://{enter}@{host}:{port}/{database}?options=-csearch_path%3Dpublic",
    "postgresql://?service=flows",
]


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[URL]:
    """A Postgres with a host, a port and a password, and its socket beside."""
    with EmbeddedPostgres(server_folder / f"postgres-{uuid4().hex}", tcp=True, durable=False) as postgres:
        yield make_url(postgres.url)
    postgres.remove()


@pytest.fixture(scope="module")
def socket_folder(server: URL) -> str:
    """The folder of its socket."""
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        found = connection.execute("show unix_socket_directories").fetchone()
    assert found is not None
    return str(found[0])


@pytest.mark.parametrize("form", FORMS)
async def test_a_form_of_the_address_leads_to_the_database(
    monkeypatch: pytest.MonkeyPatch, server: URL, socket_folder: str, tmp_path: Path, form: str
) -> None:
    service = tmp_path / "pg_service.conf"
    service.write_text(
        f"[flows]\nhost={server.host}\nport={server.port}\ndbname={server.database}\n"
        f"user={server.username}\npassword={server.password}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    enter = f"{server.username}:{server.password}"
    away = free_port()
    given = form.format(
        enter=enter,
        host=server.host,
        port=server.port,
        database=server.database,
        away=away,
        socket=quote(socket_folder, safe=""),
    )
    monkeypatch.setenv("DATABASE_URL", given)
    engine = make_engine(DatabaseSettings(), application_name="checked")
    async with engine.begin() as connection:
        row = await connection.execute(
            text(
                "select current_database(), current_setting('application_name'),"
                " current_setting('client_encoding'), current_setting('lock_timeout')"
            )
        )
    assert row.one() == (server.database, "checked", "UTF8", "5s")
    await engine.dispose()
