"""Makes both rows of a flow, and keeps its heavy results in the child row."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from typing_extensions import override

from masterflow.domain import FlowContext
from masterflow.repository import CrewAIFlowStateExtensionsRepository, DiscoveryFlowRepository

Sessions = async_sessionmaker[AsyncSession]


async def create_flow(sessions: Sessions, context: FlowContext, flow_id: UUID, *, name: str) -> None:
    """Create the master row and the child row of a discovery flow in one transaction."""
    tenant = context.client_account_id, context.engagement_id, context.user_id
    async with sessions.begin() as session:
        master = CrewAIFlowStateExtensionsRepository(session, *tenant)
        await master.create_master_flow(flow_id, "discovery", flow_name=name)
        child = DiscoveryFlowRepository(session, *tenant)
        await child.create_discovery_flow(flow_id, name, master_flow_id=flow_id)


class PostgresChildStore:
    """The child row of one flow; each save is a transaction of its own."""

    def __init__(self, sessions: Sessions, context: FlowContext, flow_id: UUID) -> None:
        self._sessions = sessions
        self._tenant = context.client_account_id, context.engagement_id, context.user_id
        self._flow_id = flow_id

    async def save(
        self, phase: str, data: Mapping[str, Any], *, completed: bool, duration_ms: float | None
    ) -> None:
        """Keep the results of a phase."""
        async with self._sessions.begin() as session:
            child = _ChildAlone(session, *self._tenant)
            await child.update_phase_completion(self._flow_id, phase, data, completed, duration_ms)


class _ChildAlone(DiscoveryFlowRepository):
    """Writes the child row and leaves the master to the hooks, which told it already."""

    @override
    async def _report_to_master(
        self, child: RowMapping, phase: str, *, completed: bool, duration_ms: float | None
    ) -> None:
        del child, phase, completed, duration_ms
