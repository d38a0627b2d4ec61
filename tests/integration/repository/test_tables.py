import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import Connection, event, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow import CrewAIFlowStateExtensionsRepository, DiscoveryFlowRepository, PostgresFlowStateStore
from masterflow.domain.errors import TablesUnsuitable
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.domain.tenant import flow_context
from masterflow.repository.database import session_factory
from masterflow.repository.tables import (
    SCHEMA,
    CrewAIFlowStateExtensions,
    DiscoveryFlow,
    Table,
    create_tables,
)
from masterflow.status.manager import FlowStatusManager
from tests.support.events.july_rows import LATER_COLUMNS, LATER_MASTER_COLUMNS

pytestmark = pytest.mark.anyio

OWN = {"client_account_id": uuid4(), "engagement_id": uuid4(), "user_id": "ana"}


def new_master(**columns: object) -> dict[str, object]:
    return {"flow_id": uuid4(), "flow_type": "discovery", **OWN, **columns}


async def run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def columns_of(engine: AsyncEngine, table: str) -> set[str]:
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_columns(table, schema=SCHEMA))
    return {column["name"] for column in found}


async def test_many_processes_create_the_tables_at_once(engine: AsyncEngine) -> None:
    await run(engine, f"drop schema if exists {SCHEMA} cascade")

    await asyncio.gather(*(create_tables(engine) for _ in range(5)))

    for table in (CrewAIFlowStateExtensions, DiscoveryFlow):
        assert await columns_of(engine, table.__tablename__) == set(table.__table__.columns.keys())


async def test_an_existing_table_stays_as_it_is(engine: AsyncEngine) -> None:
    await run(
        engine,
        f"drop schema if exists {SCHEMA} cascade",
        f"create schema {SCHEMA}",
        f"create table {SCHEMA}.crewai_flow_state_extensions (flow_id uuid unique, theirs int)",
    )

    await create_tables(engine)

    assert await columns_of(engine, "crewai_flow_state_extensions") == {"flow_id", "theirs"}
    assert "crewai_state_data" in await columns_of(engine, "discovery_flows")


async def test_a_role_that_may_not_create_schemas_creates_the_tables(engine: AsyncEngine) -> None:
    role = f"limited_{uuid4().hex}"
    await run(
        engine,
        f"drop schema if exists {SCHEMA} cascade",
        f"create schema {SCHEMA}",
        f"create role {role}",
        f"grant create, usage on schema {SCHEMA} to {role}",
    )

    @event.listens_for(engine.sync_engine, "begin")
    def be_limited(connection: Connection) -> None:
        connection.exec_driver_sql(f"set local role {role}")

    await create_tables(engine)

    event.remove(engine.sync_engine, "begin", be_limited)
    assert "crewai_state_data" in await columns_of(engine, "discovery_flows")
    await run(engine, f"drop owned by {role}", f"drop role {role}")


async def test_a_row_needs_only_what_has_no_default(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        row = (
            await connection.execute(
                insert(CrewAIFlowStateExtensions)
                .values(new_master())
                .returning(CrewAIFlowStateExtensions.__table__)
            )
        ).one()
    assert row.flow_status == "initialized"
    assert row.retry_count == 0
    assert row.phase_transitions == []
    assert row.flow_metadata == {}
    assert row.created_at.utcoffset() is not None


@pytest.mark.parametrize("flow_status", FLOW_STATUSES)
async def test_every_status_fits(engine: AsyncEngine, flow_status: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            insert(CrewAIFlowStateExtensions).values(new_master(flow_status=flow_status))
        )


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"flow_status": "awaiting_approval"}, "chk_valid_flow_status"),
        ({"flow_type": "cooking"}, "chk_valid_flow_type"),
        ({"retry_count": -1}, "chk_retry_count_positive"),
    ],
)
async def test_what_the_field_refuses_is_refused(
    engine: AsyncEngine, columns: dict[str, object], constraint: str
) -> None:
    async with engine.begin() as connection:
        with pytest.raises(IntegrityError, match=constraint):
            await connection.execute(insert(CrewAIFlowStateExtensions).values(new_master(**columns)))
        await connection.rollback()


async def test_a_deleted_parent_leaves_its_children(engine: AsyncEngine) -> None:
    parent, child = new_master(), new_master()
    async with engine.begin() as connection:
        await connection.execute(insert(CrewAIFlowStateExtensions).values(parent))
        await connection.execute(
            insert(CrewAIFlowStateExtensions).values({**child, "parent_flow_id": parent["flow_id"]})
        )
        table = f"{SCHEMA}.crewai_flow_state_extensions"
        await connection.execute(
            text(f"delete from {table} where flow_id = :flow_id"), {"flow_id": parent["flow_id"]}
        )
        left = (await connection.execute(text(f"select flow_id, parent_flow_id from {table}"))).one()
    assert left == (child["flow_id"], None)


async def test_an_older_table_without_the_later_columns_is_read_and_written(engine: AsyncEngine) -> None:
    table = f"alter table {SCHEMA}.crewai_flow_state_extensions"
    await run(
        engine,
        f"{table} drop column execution_metadata, drop column collection_flow_id",
        f"{table} drop column automation_tier",
        f"{table} drop column collection_quality_score, drop column data_collection_metadata",
    )
    async with session_factory(engine)() as db:
        await db.execute(insert(CrewAIFlowStateExtensions).values(new_master()))
        row = (await db.scalars(select(CrewAIFlowStateExtensions))).one()
    assert row.flow_status == "initialized"


def without(table: type[Table], columns: tuple[str, ...]) -> str:
    dropped = ", ".join(f"drop column {column}" for column in columns)
    return f"alter table {SCHEMA}.{table.__tablename__} {dropped}"


async def test_a_repository_says_of_tables_of_july_what_the_doctor_says(engine: AsyncEngine) -> None:
    await run(
        engine,
        without(CrewAIFlowStateExtensions, LATER_MASTER_COLUMNS),
        without(DiscoveryFlow, LATER_COLUMNS),
    )
    context = flow_context(uuid4(), uuid4(), "ana")
    ids = (context.client_account_id, context.engagement_id, context.user_id)
    for call in (
        lambda db: CrewAIFlowStateExtensionsRepository(db, *ids).create_master_flow(uuid4(), "discovery"),
        lambda db: CrewAIFlowStateExtensionsRepository(db, *ids).get_by_flow_id(uuid4()),
        lambda db: CrewAIFlowStateExtensionsRepository(db, *ids).increment_retry_count(uuid4()),
        lambda db: DiscoveryFlowRepository(db, *ids).create_discovery_flow(uuid4()),
        lambda db: DiscoveryFlowRepository(db, *ids).update_phase_completion(uuid4(), "data_import"),
        lambda db: PostgresFlowStateStore(db, context).save_state(uuid4(), {"a": 1}, "data_import"),
        lambda db: FlowStatusManager(db, context).list_flows(),
        lambda db: FlowStatusManager(db, context).get_flow_status(uuid4(), include_details=True),
        lambda db: FlowStatusManager(db, context).get_timeline(uuid4()),
    ):
        async with session_factory(engine)() as db:
            with pytest.raises(TablesUnsuitable, match=r"does not exist\); `flowctl doctor` says"):
                await call(db)


async def test_a_child_with_a_document_of_type_json_is_refused_for_writing(engine: AsyncEngine) -> None:
    await run(
        engine,
        "alter table migration.discovery_flows alter crewai_state_data drop default,"
        " alter crewai_state_data type json",
    )
    async with session_factory(engine)() as db:
        children = DiscoveryFlowRepository(db, uuid4(), uuid4(), "ana")
        with pytest.raises(TablesUnsuitable, match="`flowctl doctor` says"):
            await children.update_phase_completion(uuid4(), "data_import")
