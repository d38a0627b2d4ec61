"""What the merge is timed with: events in the proportions of real flows, and flows with full lists."""

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    AnyEvent,
    ErrorOccurred,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    new_event,
)
from masterflow.domain.phases import PHASES
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.tables import CrewAIFlowStateExtensions


class Workload:
    """Makes events in the proportions of a real flow: mostly transitions, few errors."""

    def __init__(self, context: FlowContext, seed: int = 7) -> None:
        self.context = context
        self._chance = random.Random(seed)  # noqa: S311 - the same events in every run

    def event(self, flow_id: UUID) -> AnyEvent:
        """Make one event of a kind by chance."""
        makers = [self.transition, self.timing, self.progress, self.collaboration, self.error]
        [make] = self._chance.choices(makers, weights=[40, 15, 20, 20, 5])
        return make(flow_id)

    def batch(self, flow_ids: Sequence[UUID], size: int) -> list[AnyEvent]:
        """Make events spread evenly over flows."""
        return [self.event(flow_ids[number % len(flow_ids)]) for number in range(size)]

    def transition(self, flow_id: UUID) -> AnyEvent:
        """Make a transition with two counts."""
        status = self._chance.choice(["processing", "completed"])
        metadata = {"records_processed": self._number(), "results_count": self._number()}
        return self._new(PhaseTransitioned, flow_id, phase=self._phase(), status=status, metadata=metadata)

    def timing(self, flow_id: UUID) -> AnyEvent:
        """Make a timing."""
        return self._new(PhaseTimed, flow_id, phase=self._phase(), execution_time_ms=self._number())

    def progress(self, flow_id: UUID) -> AnyEvent:
        """Make a snapshot."""
        snapshot = {"phase": self._phase(), "progress": self._number() % 100, "message": "columns mapped"}
        return self._new(ProgressReported, flow_id, snapshot=snapshot)

    def collaboration(self, flow_id: UUID) -> AnyEvent:
        """Make an entry of an agent."""
        entry = {"agent": "Schema Expert", "action": "mapped columns", "details": {"mapped": self._number()}}
        return self._new(AgentCollaborated, flow_id, entry=entry)

    def error(self, flow_id: UUID) -> AnyEvent:
        """Make an error."""
        return self._new(
            ErrorOccurred, flow_id, phase=self._phase(), error=f"row {self._number()}: bad address"
        )

    def full(self, flow_id: UUID) -> list[AnyEvent]:
        """Make what fills every list of a flow."""
        makers = (self.transition, self.collaboration, self.error)
        return [make(flow_id) for make in makers for _ in range(100)] + [
            self.timing(flow_id) for _ in range(20)
        ]

    def _new(self, kind: type[Any], flow_id: UUID, **fields: Any) -> AnyEvent:
        event: AnyEvent = new_event(kind, self.context, flow_id, **fields)
        return event

    def _phase(self) -> str:
        return self._chance.choice(PHASES)

    def _number(self) -> int:
        return self._chance.randrange(1_000)


async def fill(connection: AsyncConnection, workload: Workload, count: int) -> list[UUID]:
    """Make flows with full lists."""
    session = AsyncSession(connection)
    flow_ids = [uuid4() for _ in range(count)]
    tenant = workload.context.model_dump()
    session.add_all(
        CrewAIFlowStateExtensions(flow_id=id_, flow_type="discovery", **tenant) for id_ in flow_ids
    )
    await session.commit()
    for start in range(0, count, 10):
        ids = flow_ids[start : start + 10]
        await apply_events(session, [event for flow_id in ids for event in workload.full(flow_id)])
        await session.commit()
    await session.close()
    return flow_ids
