from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.domain.clock import clock
from masterflow.repository.flow_state_store import PostgresFlowStateStore
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.repository.status.changes import read_summaries
from masterflow.repository.status.wanted import FlowFilter
from masterflow.status.manager import FlowStatusManager
from tests.support.events.flows import new_context, new_flow, row_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


async def shown(session: AsyncSession, context: FlowContext, flow_id: UUID) -> set[str | None]:
    """Return what list, filter, status, live changes and the row itself say."""
    manager = FlowStatusManager(session, context)
    [listed] = (await manager.list_flows()).flows
    [changed] = await read_summaries(session, [context.client_account_id], flow_ids=[flow_id])
    status = await manager.get_flow_status(flow_id)
    found = (await manager.list_flows(FlowFilter(phase=listed.current_phase))).flows
    assert [flow.flow_id for flow in found] == [flow_id]
    persisted = (await row_of(session, flow_id))["flow_persistence_data"]["current_phase"]
    return {listed.current_phase, changed["current_phase"], status.current_phase, persisted}


async def test_the_current_phase_is_the_same_wherever_it_is_shown(session: AsyncSession) -> None:
    context = new_context()
    flow_id = await new_flow(session, context)
    ids = (context.client_account_id, context.engagement_id, "ann")
    repository = CrewAIFlowStateExtensionsRepository(session, *ids)
    store = PostgresFlowStateStore(session, context)
    await repository.add_phase_transition(flow_id, "data_import", "processing")
    assert await shown(session, context, flow_id) == {"data_import"}
    await store.save_state(flow_id, {"rows": 1}, "data_cleansing")
    assert await shown(session, context, flow_id) == {"data_cleansing"}
    late = clock.tick() - timedelta(minutes=1)
    await repository.add_phase_transition(flow_id, "asset_inventory", "processing", occurred_at=late)
    assert await shown(session, context, flow_id) == {"data_cleansing"}
    await repository.add_phase_transition(flow_id, "asset_inventory", "processing")
    await repository.add_phase_transition(flow_id, "asset_inventory", "completed")
    assert await shown(session, context, flow_id) == {"asset_inventory"}
