"""Flows that are committed at once, and what is reported of them."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    ErrorOccurred,
    MemoryMeasured,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    new_event,
)
from masterflow.repository.merge.merges import apply_events
from tests.support.events.flows import new_flow

#: A kind of event and its fields.
Told = tuple[Any, dict[str, Any]]

Sessions = async_sessionmaker[AsyncSession]


async def flow_of(sessions: Sessions, context: FlowContext, **columns: Any) -> UUID:
    async with sessions.begin() as db:
        return await new_flow(db, context, **columns)


async def report(sessions: Sessions, context: FlowContext, flow_id: UUID, *story: Told) -> None:
    async with sessions.begin() as db:
        await apply_events(db, [new_event(kind, context, flow_id, **fields) for kind, fields in story])


def told(phase: str, status: str, **facts: Any) -> Told:
    return PhaseTransitioned, {"phase": phase, "status": status, "metadata": facts}


def full_story() -> list[Told]:
    """What fills every part of a flow's page, the lists to their last entry."""
    story = [told(f"phase_{n % 9}", status) for n in range(60) for status in ("processing", "completed")]
    story += [(ErrorOccurred, {"phase": f"phase_{n % 9}", "error": f"error {n}"}) for n in range(120)]
    story += [(AgentCollaborated, {"entry": {"agent": "a", "activity": f"did {n}"}}) for n in range(120)]
    story += [
        (PhaseTimed, {"phase": "phase_1", "execution_time_ms": 1500}),
        (MemoryMeasured, {"metrics": {"peak_memory_mb": 512.5}}),
        (AgentPerformanceMeasured, {"metrics": {"Schema Expert": {"calls": 3}, "throughput": 2}}),
        told("approval", "processing"),
        told("approval", "paused", awaiting_approval=True),
        (ProgressReported, {"snapshot": {"progress_percentage": 40, "message": "please check"}}),
        (StatusChanged, {"status": "waiting_for_approval"}),
    ]
    return story
