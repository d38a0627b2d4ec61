"""Everything a terminal shows of one flow, read as the status API reads it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.repository.redis.client import RedisLink
from masterflow.repository.status.reads import FlowScope
from masterflow.status.flow.details import FlowDetails as FlowView
from masterflow.status.flow.details import read_details
from masterflow.status.flow.past import PastFlows
from masterflow.status.manager import FlowStatusManager

__all__ = ["FlowView", "read_flow"]


async def read_flow(
    db: AsyncSession,
    scope: FlowScope,
    flow_id: UUID,
    redis: RedisLink | None = None,
    past: PastFlows | None = None,
) -> FlowView:
    """Return what a flow of this tenant is doing and did; raises FlowNotFound if it has no such flow."""
    return await read_details(FlowStatusManager(db, scope, redis), flow_id, past or PastFlows())
