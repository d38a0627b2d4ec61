"""Flows of one tenant and their stores, for the tests of state and checkpoints."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.repository.flow_state_store import PostgresFlowStateStore
from masterflow.repository.secure_cache import SecureCache
from masterflow.repository.tables import CrewAIFlowStateExtensions as Master

Sessions = async_sessionmaker[AsyncSession]
TENANT = FlowContext(client_account_id=uuid4(), engagement_id=uuid4(), user_id="ana")


async def add_flow(sessions: Sessions, **columns: Any) -> UUID:
    flow_id = uuid4()
    row = {"flow_id": flow_id, "flow_type": "discovery", **TENANT.model_dump(), **columns}
    async with sessions.begin() as db:
        await db.execute(insert(Master).values(row))
    return flow_id


async def read_row(sessions: Sessions, flow_id: UUID) -> Master:
    async with sessions() as db:
        row = await db.scalar(select(Master).where(Master.flow_id == flow_id))
        assert row is not None
        return row


@asynccontextmanager
async def store_of(
    sessions: Sessions, cache: SecureCache | None = None, context: FlowContext = TENANT
) -> AsyncIterator[PostgresFlowStateStore]:
    async with sessions.begin() as db:
        yield PostgresFlowStateStore(db, context, cache)


async def save(
    sessions: Sessions, flow_id: UUID, state: dict[str, Any], *, version: int | None = None
) -> int:
    async with store_of(sessions) as store:
        saved: int = await store.save_state(flow_id, state, "data_import", version)
    return saved


async def load(sessions: Sessions, flow_id: UUID, cache: SecureCache | None = None) -> Any:
    async with store_of(sessions, cache) as store:
        return await store.load_state(flow_id)


async def blocked(sessions: Sessions) -> None:
    waiting = text(
        "select count(*) from pg_stat_activity"
        " where wait_event_type = 'Lock' and datname = current_database()"
    )
    async with asyncio.timeout(10), sessions() as db:
        while await db.scalar(waiting) == 0:
            await db.rollback()
            await asyncio.sleep(0.01)
