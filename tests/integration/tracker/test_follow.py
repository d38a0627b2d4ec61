import asyncio
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from masterflow.domain.events import FlowRetried, new_event
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.status.reads import FlowScope
from masterflow.scripts.terminal.flow_screens import Doubt
from masterflow.scripts.terminal.follow import Follower
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import flow_of

pytestmark = pytest.mark.anyio


async def test_a_burst_of_changes_does_not_end_what_a_follower_hears(
    engine: AsyncEngine,
    session_factory: async_sessionmaker[AsyncSession],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # More flows than may wait for somebody on the page.
    monkeypatch.setattr("masterflow.status.live.listeners.MOST_PENDING", 2)
    context = new_context()
    flow_ids = {await flow_of(session_factory, context) for _ in range(4)}
    changes = Follower(engine, FlowScope.of(context), Doubt()).changes()
    heard: set[UUID] = set()
    try:
        async with asyncio.timeout(15):
            assert await anext(changes) == []
            async with session_factory.begin() as session:
                await apply_events(
                    session, [new_event(FlowRetried, context, flow_id) for flow_id in flow_ids]
                )
            while heard != flow_ids:
                heard |= {flow.flow_id for flow in await anext(changes)}
    finally:
        await changes.aclose()
