"""Flows for the bench of the backfill: masters up to date with big children, some of which then change."""

import json
import random
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain import FlowContext
from masterflow.repository.backfill.reads import RULES
from masterflow.repository.database import session_factory
from masterflow.repository.tables import create_tables

_SECTIONS = ("data_import", "attribute_mapping", "data_cleansing", "inventory", "dependencies", "tech_debt")
_VARIANTS = 40

_ADD = text("""
with flow as materialized (
    insert into migration.crewai_flow_state_extensions
    (id, flow_id, client_account_id, engagement_id, user_id, flow_type, created_at)
    select gen_random_uuid(), gen_random_uuid(), :client_account_id, :engagement_id, :user_id, 'discovery',
        now() - number * interval '1 second'
    from generate_series(1, :flows) as number
    returning flow_id
)
insert into migration.discovery_flows (id, flow_id, client_account_id, engagement_id, user_id, flow_name,
    progress_percentage, data_import_completed, field_mapping_completed, current_phase, crewai_state_data)
select gen_random_uuid(), flow_id, :client_account_id, :engagement_id, :user_id, 'bench', 50, true, true,
    'data_cleansing', model.document
from (select flow_id, row_number() over () as number from flow) as flow
join model on model.number = flow.number % :variants
""")

# What a caught-up flow has, so that the search reads rows of the size they will have.
_CATCH_UP = text("""
update migration.crewai_flow_state_extensions as flow
set
    phase_transitions = (
        select jsonb_agg(jsonb_build_object(
            'id', gen_random_uuid(), 'phase', 'data_import', 'status', 'completed',
            'timestamp', now()::text, 'metadata', jsonb_build_object('execution_time_ms', number)
        ))
        from generate_series(1, 20) as number
    ),
    flow_metadata = jsonb_build_object(
        'progress_snapshot', jsonb_build_object('completed_phases', '["data_import"]'::jsonb, 'as_of', now()),
        '_enrichment', jsonb_build_object(
            'backfill', jsonb_build_object('version', cast(:rules as text) || child.xmin::text)
        )
    )
from migration.discovery_flows as child
where child.flow_id = flow.flow_id
""")

_RESET = text("""
update migration.crewai_flow_state_extensions set phase_transitions = '[]', flow_metadata = '{}'
where flow_id = any (:flow_ids)
""")

_CHANGE = text("""
update migration.discovery_flows set data_cleansing_completed = true, updated_at = clock_timestamp()
where random() < :share
returning flow_id
""")

_READ = text("""
select count(*) from (
    select crewai_state_data #> '{}' as document
    from migration.discovery_flows
    where flow_id = any (:flow_ids)
    offset 0
) as read
where document is not null
""")


class Flows:
    """Flows in one database, on one connection, so that the server's work for them can be told apart."""

    def __init__(self, engine: AsyncEngine, url: str, context: FlowContext) -> None:
        self.url = url
        self.sessions = session_factory(engine)
        self._engine = engine
        self._context = context

    async def create(self, flows: int, *, document_bytes: int) -> None:
        """Insert flows that are up to date; their documents are few different ones."""
        await create_tables(self._engine)
        async with self.sessions.begin() as session:
            await session.execute(
                text("create temporary table model (number int, document jsonb) on commit drop")
            )
            for number in range(_VARIANTS):
                model = {"number": number, "document": _document(document_bytes, number)}
                await session.execute(
                    text("insert into model values (:number, cast(:document as jsonb))"), model
                )
            await session.execute(_ADD, {**self._context.model_dump(), "flows": flows, "variants": _VARIANTS})
        async with self.sessions.begin() as session:
            await session.execute(_CATCH_UP, {"rules": RULES})
        await self._vacuum()

    async def change(self, share: float) -> list[UUID]:
        """Change so many children, whose masters have nothing yet; return those."""
        async with self.sessions.begin() as session:
            flow_ids = list((await session.scalars(_CHANGE, {"share": share})).all())
            await session.execute(_RESET, {"flow_ids": flow_ids})
        return flow_ids

    async def live_flows(self, flows: int) -> list[UUID]:
        """Return some flows to report on."""
        query = text("select flow_id from migration.crewai_flow_state_extensions limit :flows")
        async with self.sessions() as session:
            return list((await session.scalars(query, {"flows": flows})).all())

    async def read_documents(self, flow_ids: list[UUID]) -> float:
        """Return the seconds of the server's processor that decompressing these documents takes."""
        before = await self.server_cpu_s()
        async with self.sessions() as session:
            await session.execute(_READ, {"flow_ids": flow_ids})
        return await self.server_cpu_s() - before

    async def server_cpu_s(self) -> float:
        """Return how long the server has worked for this connection."""
        async with self.sessions() as session:
            pid = await session.scalar(text("select pg_backend_pid()"))
        return _cpu_s(int(pid or 0))

    async def empty(self) -> None:
        """Delete everything."""
        async with self.sessions.begin() as session:
            await session.execute(
                text("truncate migration.crewai_flow_state_extensions, migration.discovery_flows cascade")
            )

    async def _vacuum(self) -> None:
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("vacuum analyze"))


def _cpu_s(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _document(size_bytes: int, seed: int) -> str:
    """Return an old-style document: the whole flow state once per section, mostly raw rows."""
    chance = random.Random(seed)  # noqa: S311  no secret
    rows = [
        {
            "hostname": f"app-{chance.randrange(10**6)}",
            "ip": f"10.{chance.randrange(256)}.{number}",
            "os": "RHEL 8",
        }
        for number in range(max(1, size_bytes // (len(_SECTIONS) * 65)))
    ]
    legacy = {"phase_completion": {"data_import": True}, "raw_data": rows, "errors": [], "updated_at": None}
    section = {"status": "running", "progress": 20.0, "legacy_data": legacy}
    return json.dumps(dict.fromkeys(_SECTIONS, section) | {"agent_insights": []})
