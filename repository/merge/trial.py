"""The merge on trial, in a transaction that its caller has to roll back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ControlRequested,
    DeadlinePassed,
    ErrorOccurred,
    FlowDeclared,
    FlowLost,
    FlowRetried,
    FlowSeen,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
    new_event,
)
from masterflow.domain.tenant import FlowContext, flow_context
from masterflow.repository.database import translated_errors
from masterflow.repository.merge.merges import MergeOutcome, apply_events
from masterflow.repository.sql import statement

_MARK: Final = "enrichment_trial"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of events of a flow that was made for the trial."""

    outcome: MergeOutcome
    #: Columns that do not hold what was merged.
    changed: Sequence[str]


async def try_merge(db: AsyncSession) -> Trial:
    """Declare a flow and merge an event of each kind into it; a `DBAPIError` passes.

    It belongs to the tenant of some row, because tenants may be foreign keys.
    """
    context, flow_id, now = await _some_tenant(db), uuid4(), datetime.now(UTC)
    events: list[AnyEvent] = [
        new_event(FlowDeclared, context, flow_id, flow_type="discovery", flow_name=_MARK),
        new_event(PhaseTransitioned, context, flow_id, phase=_MARK, status="processing"),
        new_event(PhaseTimed, context, flow_id, phase=_MARK, execution_time_ms=1),
        new_event(ErrorOccurred, context, flow_id, phase=_MARK, error=_MARK),
        new_event(AgentCollaborated, context, flow_id, entry={"agent": _MARK}),
        new_event(MemoryMeasured, context, flow_id, metrics={_MARK: 1}),
        new_event(AgentPerformanceMeasured, context, flow_id, metrics={_MARK: 1}),
        new_event(MetadataUpdated, context, flow_id, updates={_MARK: 1}),
        new_event(FlowRetried, context, flow_id),
        new_event(FlowLost, context, flow_id, cause="silent", holder=_MARK, host=_MARK, last_sign_at=now),
        new_event(FlowSeen, context, flow_id, holder=_MARK),
        new_event(DeadlinePassed, context, flow_id, phase=_MARK, deadline_at=now),
        new_event(ControlRequested, context, flow_id, action="cancel", by=_MARK),
        new_event(QuestionAsked, context, flow_id, key=_MARK, question=_MARK),
        new_event(QuestionSettled, context, flow_id, question_id=flow_id, outcome="answered", value=_MARK),
        new_event(StatusChanged, context, flow_id, status="processing"),
    ]
    outcome = await apply_events(db, events)
    async with translated_errors():
        read = await db.execute(statement("read_trial"), {"mark": _MARK, "flow_id": flow_id})
        return Trial(outcome, read.scalar() or [])


async def try_update(db: AsyncSession) -> None:
    """Merge into a flow that is not there, which needs all rights but that to make one."""
    await apply_events(db, [new_event(FlowRetried, await _some_tenant(db), uuid4())])


async def _some_tenant(db: AsyncSession) -> FlowContext:
    async with translated_errors():
        row = (await db.execute(statement("find_any_tenant"))).one_or_none()
    ids: tuple[UUID, UUID] = (row[0], row[1]) if row else (uuid4(), uuid4())
    return flow_context(*ids, _MARK)
