"""Everything that there is to read of one flow, as API, page, terminal and files show it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from masterflow.status.flow.past import PastFlows
from masterflow.status.flow.usual import Usual, usual_of
from masterflow.status.manager import FlowStatusManager
from masterflow.status.views import Activity, Errors, FlowStatus, Timeline


@dataclass(frozen=True)
class FlowDetails:
    """One flow: its status and phases, when they ran, what failed, who did what, and what is usual."""

    status: FlowStatus
    timeline: Timeline
    errors: Errors
    activity: Activity
    usual: Usual

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object: the keys of its parts, `bars` and `errors` among them."""
        parts = (self.status, self.timeline, self.errors, self.activity)
        told = {key: value for part in parts for key, value in part.model_dump(mode="json").items()}
        # Each part says it of its own numbers.
        at_least = list(dict.fromkeys(name for part in parts for name in part.at_least))
        matching = {
            "errors": self.errors.matching,
            "transitions": self.timeline.matching,
            "collaborations": self.activity.matching,
        }
        usual = self.usual.model_dump(mode="json")
        return told | {"at_least": at_least, "matching": matching, "usual": usual}


async def read_details(manager: FlowStatusManager, flow_id: UUID, past: PastFlows) -> FlowDetails:
    """Return what a flow is doing and did; raises FlowNotFound if the manager's tenant has no such flow."""
    status = await manager.get_flow_status(flow_id, include_details=True)
    timeline = await manager.get_timeline(flow_id)
    return FlowDetails(
        status=status,
        timeline=timeline,
        errors=await manager.get_errors(flow_id),
        activity=await manager.get_activity(flow_id),
        usual=usual_of(status, timeline.bars, await past.like(manager, status)),
    )
