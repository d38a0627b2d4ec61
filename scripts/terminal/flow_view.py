"""Everything a terminal shows of one flow, read as the status API reads it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.repository.redis.client import RedisLink
from masterflow.repository.status.reads import FlowScope
from masterflow.status.manager import FlowStatusManager
from masterflow.status.views import Activity, Errors, FlowStatus, Timeline


@dataclass(frozen=True)
class FlowView:
    """One flow: its status and phases, when they ran, what failed, and who did what."""

    status: FlowStatus
    timeline: Timeline
    errors: Errors
    activity: Activity

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object: the keys of the four, `bars` and `errors` among them."""
        parts = (self.status, self.timeline, self.errors, self.activity)
        told = {key: value for part in parts for key, value in part.model_dump(mode="json").items()}
        # Each part says it of its own numbers.
        return told | {"at_least": list(dict.fromkeys(name for part in parts for name in part.at_least))}


async def read_flow(
    db: AsyncSession, scope: FlowScope, flow_id: UUID, redis: RedisLink | None = None
) -> FlowView:
    """Return what a flow of this tenant is doing and did; raises FlowNotFound if it has no such flow."""
    manager = FlowStatusManager(db, scope, redis)
    return FlowView(
        status=await manager.get_flow_status(flow_id, include_details=True),
        timeline=await manager.get_timeline(flow_id),
        errors=await manager.get_errors(flow_id),
        activity=await manager.get_activity(flow_id),
    )
