"""What a row or a request holds forges no entry of the API's log, and steers no terminal that shows it."""

import json
import re
import socket
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid4

from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    PhaseTimed,
    QuestionAsked,
    StatusChanged,
    UsageReported,
)
from masterflow.domain.usage.amounts import Usage, UsageCounted
from masterflow.repository.database import session_factory
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import Sessions, flow_of, report, told
from tests.support.eventually import eventually
from tests.support.processes.status_site import StatusSite
from tests.support.servers.databases import engine_for, temporary_database

_FORGED = "2026-01-01 00:00:00 ERROR FORGED"
_HOSTILE = f"a\x1b[2J\x9b31m\x85b\u202ec\u2066d\u2028e\"'><img src=x onerror=alert(1)>\r\n{_FORGED}"
_MARK = "MARK"
_USED = Usage(1, 5, 5, 0, 0)
_COUNTED = UsageCounted(by="process-0001", agent=_USED, flow=_USED)

_BREAK = """
create function migration.boom() returns boolean language plpgsql as
  $$ begin raise exception using message = convert_from(decode('HEX', 'hex'), 'UTF8'); end $$;
alter table migration.crewai_flow_state_extensions rename to flows_behind;
create view migration.crewai_flow_state_extensions as
  select * from migration.flows_behind where migration.boom();
"""


async def _hostile_flow(sessions: Sessions, context: FlowContext) -> UUID:
    flow_id = await flow_of(sessions, context)
    await report(
        sessions,
        context,
        flow_id,
        told(_MARK, "processing", message=_MARK),
        (PhaseTimed, {"phase": _MARK, "execution_time_ms": 1200.0}),
        (ErrorOccurred, {"phase": _MARK, "error": _MARK, "details": {_MARK: _MARK}}),
        (AgentCollaborated, {"entry": {"agent": _MARK, "activity": _MARK}}),
        (UsageReported, {"agent": _MARK, "model": _MARK, "used": _USED, "counted": _COUNTED}),
        (QuestionAsked, {"event_id": uuid4(), "key": _MARK, "question": _MARK, "options": [_MARK, "no"]}),
        (QuestionAsked, {"event_id": uuid4(), "key": "free", "question": _MARK}),
        (StatusChanged, {"status": "waiting_for_approval"}),
    )
    table = "migration.crewai_flow_state_extensions"
    columns = (
        "select column_name, udt_name from information_schema.columns where table_schema = 'migration'"
        " and table_name = 'crewai_flow_state_extensions' and udt_name in ('json', 'jsonb')"
    )
    async with sessions.begin() as db:
        its = {"it": _HOSTILE, "flow_id": flow_id}
        await db.execute(
            text(f"update {table} set flow_name = :it, user_id = :it where flow_id = :flow_id"), its
        )
        its = {"mark": _MARK, "it": json.dumps(_HOSTILE)[1:-1], "flow_id": flow_id}
        for name, kind in (await db.execute(text(columns))).all():
            changed = f"replace({name}::text, :mark, :it)::{kind}"
            await db.execute(text(f"update {table} set {name} = {changed} where flow_id = :flow_id"), its)
    return flow_id


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
        await _hostile_flow(session_factory(engine), context)
        where = urlsplit(site.url)
        raw = _HOSTILE.encode()
        for request in (
            raw + b"\r\n\r\n",
            b"GET /" + raw + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: " + raw + b"\r\n\r\n",
            b"GET /flows/" + quote(_HOSTILE, safe="").encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
                connection.sendall(request)
                connection.recv(100)
        # From here on each look at a row fails with the text, which the server quotes in its error.
        async with engine.begin() as db:
            for statement in _BREAK.replace("HEX", _HOSTILE.encode().hex()).strip().split(";\n"):
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
        rf"^\W*{re.escape(_FORGED)}", said.replace("\n  | ", "\n  | continued "), re.MULTILINE
    )
