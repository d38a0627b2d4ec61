"""Flows that are committed at once, and what is reported of them."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from domain import FlowContext
from domain.events import new_event
from repository.merges import apply_events
from tests.flows import new_flow

Sessions = async_sessionmaker[AsyncSession]


async def flow_of(sessions: Sessions, context: FlowContext, **columns: Any) -> UUID:
    async with sessions.begin() as db:
        return await new_flow(db, context, **columns)


async def report(
    sessions: Sessions, context: FlowContext, flow_id: UUID, *told: tuple[Any, dict[str, Any]]
) -> None:
    async with sessions.begin() as db:
        await apply_events(db, [new_event(kind, context, flow_id, **fields) for kind, fields in told])
