"""Time the backfill among 100,000 flows with 80 KB children: finding, catching up, memory, and live latency beside it."""

import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from repository.backfill_reads import Page, Scope, find_behind, read_pairs
from repository.database import DatabaseSettings, make_engine, session_factory
from repository.tables import create_tables
from scripts.embedded import EmbeddedPostgres
from tasks.catching_up import SLICE, Manner, Report, catch_up

_SECTIONS = ("data_import", "attribute_mapping", "data_cleansing", "inventory", "dependencies", "tech_debt")
_VARIANTS = 40

Sessions = async_sessionmaker[AsyncSession]


def document(size_bytes: int, seed: int) -> str:
    """Return an old-style document: the whole flow state once per section, mostly raw rows."""
    chance = random.Random(seed)  # noqa: S311  no secret
    rows = [
        {"hostname": f"app-{chance.randrange(10**6)}", "ip": f"10.{chance.randrange(256)}.{number}", "os": "RHEL 8"}
        for number in range(max(1, size_bytes // (len(_SECTIONS) * 65)))
    ]
    section = {
        "status": "running",
        "progress": 20.0,
        "legacy_data": {"phase_completion": {"data_import": True}, "raw_data": rows, "errors": []},
    }
    return json.dumps(dict.fromkeys(_SECTIONS, section) | {"agent_insights": []})


async def fill(sessions: Sessions, *, flows: int, size_bytes: int) -> None:
    """Insert masters and children; the documents are few different ones, each stored once per child."""
    async with sessions.begin() as session:
        await session.execute(text("create temporary table model (number int, document jsonb) on commit drop"))
        for number in range(_VARIANTS):
            await session.execute(
                text("insert into model values (:number, cast(:document as jsonb))"),
                {"number": number, "document": document(size_bytes, number)},
            )
        await session.execute(
            text(
                "with flow as materialized ("
                " insert into migration.crewai_flow_state_extensions"
                " (id, flow_id, client_account_id, engagement_id, user_id, flow_type, created_at)"
                " select gen_random_uuid(), gen_random_uuid(), :client, :engagement, 'bench', 'discovery',"
                "  now() - number * interval '1 second'"
                " from generate_series(1, :flows) as number returning flow_id, created_at)"
                " insert into migration.discovery_flows (id, flow_id, client_account_id, engagement_id, user_id,"
                "  flow_name, progress_percentage, data_import_completed, field_mapping_completed,"
                "  data_cleansing_completed, current_phase, crewai_state_data, created_at)"
                " select gen_random_uuid(), flow_id, :client, :engagement, 'bench', 'bench', 50, true, true, true,"
                "  'data_cleansing', model.document, flow.created_at"
                " from (select *, row_number() over () as number from flow) as flow"
                " join model on model.number = flow.number % :variants"
            ),
            {"client": uuid4(), "engagement": uuid4(), "flows": flows, "variants": _VARIANTS},
        )


async def behind(sessions: Sessions) -> tuple[list[UUID], float]:
    """Return all masters that are behind, and the seconds it took to find them."""
    found: list[UUID] = []
    started, place = time.perf_counter(), None
    async with sessions() as session:
        while True:
            page: Page = await find_behind(session, Scope(), after=place)
            found += page.behind
            if (place := page.end) is None:
                return found, time.perf_counter() - started


async def caught_up(sessions: Sessions, flow_ids: list[UUID]) -> tuple[Report, float]:
    started, report = time.perf_counter(), Report()
    for start in range(0, len(flow_ids), SLICE):
        report += await catch_up(sessions, flow_ids[start : start + SLICE], Scope(), Manner())
    return report, time.perf_counter() - started

async def main(flows: int, size: int):
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)/'pg', durable=False) as server:
        engine = make_engine(DatabaseSettings.model_validate({"DATABASE_URL": server.url, "ENRICHMENT_STATEMENT_TIMEOUT_S": "600"}), pool_size=2)
        await create_tables(engine)
        sessions = session_factory(engine)
        t=time.perf_counter(); await fill(sessions, flows=flows, size_bytes=size); print("fill", time.perf_counter()-t)
        async with sessions.begin() as s:
            print((await s.execute(text("select pg_size_pretty(pg_total_relation_size('migration.discovery_flows')), avg(pg_column_size(crewai_state_data)), avg(length(crewai_state_data::text)) from (select * from migration.discovery_flows limit 100) x"))).one())
        async with engine.connect() as c:
            await c.execution_options(isolation_level="AUTOCOMMIT"); await c.execute(text("vacuum analyze"))
        ids, s_ = await behind(sessions); print("find first", len(ids), s_)
        import cProfile
        sample=ids[:3000]
        t=time.perf_counter()
        async with sessions() as s:
            for start in range(0,len(sample),SLICE): await read_pairs(s, sample[start:start+SLICE], Scope())
        print("read only", time.perf_counter()-t, len(sample)/(time.perf_counter()-t))
        t=time.perf_counter()
        async with sessions() as s:
            await s.execute(text("select count(*) from (select child.crewai_state_data #> '{}' as d from migration.discovery_flows child where flow_id = any(cast(:i as uuid[])) offset 0) x where d is not null"), {"i": sample})
        print("detoast only", time.perf_counter()-t)
        cpu=time.process_time()
        pr=cProfile.Profile() if 0 else None
        r,s_=await caught_up(sessions, sample); print("catch up", r.changed, s_, r.changed/s_, "python cpu", time.process_time()-cpu)
        ids2, s_ = await behind(sessions); print("find after", len(ids2), s_)
        await engine.dispose()
if __name__ == "__main__":
    import sys
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
