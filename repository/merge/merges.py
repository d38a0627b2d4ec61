"""The one merge: events into master rows, whatever their order, however often they come."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.events import AnyEvent, FlowDeclared
from masterflow.repository.database import translated_errors
from masterflow.repository.merge.deltas import Delta, sum_up
from masterflow.repository.sql import statement


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """Which flows' events could not be applied; those of all others were."""

    #: Flow ids that no row has.
    missing: frozenset[UUID] = field(default_factory=frozenset)
    #: Flow ids whose row belongs to another tenant.
    foreign: frozenset[UUID] = field(default_factory=frozenset)
    #: Flow ids whose row a trigger keeps from being updated.
    skipped: frozenset[UUID] = field(default_factory=frozenset)


async def apply_events(session: AsyncSession, events: Sequence[AnyEvent]) -> MergeOutcome:
    """Merge events of any flows into their rows, in the caller's transaction; never commits.

    The rows stay locked until the transaction ends. The isolation level must be READ COMMITTED
    (the default), so that what is merged into is what stands there once the lock is held.

    What raises DatabaseUnavailable may work in a new transaction.
    """
    deltas = sum_up(events)
    if not deltas:
        return MergeOutcome()
    declared = declared_rows(events)
    async with translated_errors():
        if declared:
            await session.execute(statement("declare_flows"), {"declared": _json(declared)})
        merged = await session.execute(statement("merge_deltas"), merge_arguments(deltas))
        is_written = {(flow_id, *tenant): written for flow_id, *tenant, written in merged}
        refused = {delta.key for delta in deltas}.difference(is_written)
        unchanged = [flow_id for (flow_id, *_), written in is_written.items() if not written]
        return await _outcome(session, {flow_id for flow_id, *_ in refused}, unchanged)


def merge_arguments(deltas: Sequence[Delta]) -> dict[str, str]:
    """Return what merge_deltas.sql takes: the deltas as one JSON text."""
    return {"deltas": _json([delta.document() for delta in deltas])}


def declared_rows(events: Iterable[AnyEvent]) -> list[dict[str, object]]:
    """Return what declare_flows.sql takes: of each declared flow the earliest declaration."""
    declarations = sorted((one for one in events if isinstance(one, FlowDeclared)), key=lambda one: one.stamp)
    earliest = {one.flow_id: one for one in reversed(declarations)}
    return [one.model_dump(mode="json") | {"stamp": one.stamp} for one in earliest.values()]


def _json(documents: Sequence[object]) -> str:
    return json.dumps(documents, ensure_ascii=False, allow_nan=False)


async def _outcome(session: AsyncSession, refused: set[UUID], unchanged: list[UUID]) -> MergeOutcome:
    foreign = await _ids(session, "existing_flows", list(refused))
    skipped = await _ids(session, "find_skipped", unchanged)
    return MergeOutcome(frozenset(refused) - foreign, foreign, skipped)


async def _ids(session: AsyncSession, name: str, flow_ids: list[UUID]) -> frozenset[UUID]:
    if not flow_ids:
        return frozenset()
    rows = await session.execute(statement(name), {"flow_ids": flow_ids})
    return frozenset(rows.scalars())
