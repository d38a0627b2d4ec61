"""The one merge: events into master rows, whatever their order, however often they come."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.events import AnyEvent, FlowDeclared
from masterflow.repository.database import translated_errors
from masterflow.repository.merge.deltas import Delta, Key, sum_up
from masterflow.repository.rights.row_security import read_row_security
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
    #: Flow ids of which no row can be merged into, and a row-level security policy may hide one.
    hidden: frozenset[UUID] = field(default_factory=frozenset)
    #: Flow ids whose row holds something that was asked, of the flow or by it: it may not have heard of it.
    controlled: frozenset[UUID] = field(default_factory=frozenset)


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
        found = {(row[0], row[1], row[2]): row for row in merged}
        refused = {delta.key for delta in deltas}.difference(found)
        unchanged = [row.flow_id for row in found.values() if not row.is_written]
        controlled = frozenset(row.flow_id for row in found.values() if row.has_control)
        return replace(await _outcome(session, refused, unchanged), controlled=controlled)


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


async def _outcome(session: AsyncSession, refused: set[Key], unchanged: list[UUID]) -> MergeOutcome:
    flow_ids = frozenset(flow_id for flow_id, *_ in refused)
    # A row of the right tenant is there, and was not when the merge looked or may not be updated.
    found = set(await _rows(session, "existing_flows", flow_ids)) - refused
    foreign = frozenset(flow_id for flow_id, *_ in found)
    missing, hidden = flow_ids - foreign, frozenset[UUID]()
    if flow_ids:
        # Also where the row is another tenant's: else the time that it takes would say that there is one.
        security = await read_row_security(session)
        if security.hides_rows or security.limits_updates:
            missing, hidden = hidden, missing
            await session.execute(statement("discard_plans"))
    skipped = frozenset(flow_id for (flow_id,) in await _rows(session, "find_skipped", unchanged))
    return MergeOutcome(missing, foreign, skipped, hidden)


async def _rows(session: AsyncSession, name: str, flow_ids: Collection[UUID]) -> list[Any]:
    if not flow_ids:
        return []
    rows = await session.execute(statement(name), {"flow_ids": list(flow_ids)})
    return [tuple(row) for row in rows]
