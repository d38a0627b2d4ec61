"""What a row or a request holds forges no entry of the API's log, and steers no terminal that shows it."""

import re
import socket
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from masterflow.repository.database import session_factory
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.status_site import StatusSite
from tests.support.rows.hostile import FORGED, HOSTILE, hostile_flow
from tests.support.servers.databases import engine_for, temporary_database

_BREAK = """
create function migration.boom() returns boolean language plpgsql as
  $$ begin raise exception using message = convert_from(decode('HEX', 'hex'), 'UTF8'); end $$;
alter table migration.crewai_flow_state_extensions rename to flows_behind;
create view migration.crewai_flow_state_extensions as
  select * from migration.flows_behind where migration.boom();
"""


async def test_nothing_forges_an_entry_of_the_log_or_steers_the_terminal_that_shows_it(
    postgres_server: str, database_template: str, redis_server: str, server_folder: Path
) -> None:
    folder = server_folder / f"site-{uuid.uuid4().hex}"
    context: Any = new_context()
    with (
        temporary_database(postgres_server, template=database_template) as database_url,
        StatusSite(folder, database_url=database_url, redis_url=redis_server) as site,
    ):
        engine = engine_for(database_url)
        await hostile_flow(session_factory(engine), context)
        where = urlsplit(site.url)
        raw = HOSTILE.encode()
        for request in (
            raw + b"\r\n\r\n",
            b"GET /" + raw + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: " + raw + b"\r\n\r\n",
            b"GET /flows/" + quote(HOSTILE, safe="").encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
                connection.sendall(request)
                connection.recv(100)
        # From here on each look at a row fails with the text, which the server quotes in its error.
        async with engine.begin() as db:
            for statement in _BREAK.replace("HEX", HOSTILE.encode().hex()).strip().split(";\n"):
                if "language plpgsql" in statement or "alter" in statement or "create view" in statement:
                    await db.exec_driver_sql(statement.rstrip(";\n"))
        await engine.dispose()
        for path in ("/api/v1/flows", "/api/v1/flows?limit=2"):
            # uvicorn closes a connection on which it has answered 500.
            headers = {**site.bearer(context), "Connection": "close"}
            assert site.get(path, headers=headers).status_code >= 500, path
        eventually(lambda: "[2J" in site.log.read_text())
    said = site.log.read_text()
    assert {char for char in said if not char.isprintable()} <= {"\n"}
    assert not re.search(
        rf"^\W*{re.escape(FORGED)}", said.replace("\n  | ", "\n  | continued "), re.MULTILINE
    )
