"""What flows of each type took lately, remembered for a minute: it changes slowly, and pages ask often."""

import time
from typing import Final
from uuid import UUID

from masterflow.status.flow.usual import Past, past_of
from masterflow.status.manager import FlowStatusManager
from masterflow.status.views import FlowStatus

_KEPT_S: Final = 60.0
_MOST_KEPT: Final = 200


class PastFlows:
    """Remembers by account, engagement and type."""

    def __init__(self) -> None:
        self._known: dict[tuple[UUID, UUID, str], tuple[float, list[Past]]] = {}

    async def like(self, manager: FlowStatusManager, flow: FlowStatus) -> list[Past]:
        """Return the newest flows of the type and engagement of a flow that completed; itself may be one.

        What raises DatabaseUnavailable may work later.
        """
        key, now = (manager.scope.client_account_id, flow.engagement_id, flow.flow_type), time.monotonic()
        known = self._known.get(key)
        if known is None or now - known[0] > _KEPT_S:
            known = now, [past_of(row) for row in await manager.read_completed(flow)]
            self._known.pop(key, None)
            self._known[key] = known
            while len(self._known) > _MOST_KEPT:
                del self._known[next(iter(self._known))]
        return known[1]
