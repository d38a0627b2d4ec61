"""Flows for tests: a tenant, rows to merge into, and what stands in them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowContext
from masterflow.domain.events import AnyEvent
from masterflow.domain.tenant import flow_context
from masterflow.repository.merge.merges import apply_events

COLUMNS = (
    "phase_transitions",
    "error_history",
    "agent_collaboration_log",
    "phase_execution_times",
    "memory_usage_metrics",
    "agent_performance_metrics",
    "flow_metadata",
    "flow_persistence_data",
)


def new_context() -> FlowContext:
    return flow_context(uuid4(), uuid4(), "tester")


async def new_flow(
    session: AsyncSession,
    context: FlowContext,
    flow_id: UUID | None = None,
    *,
    flow_status: str = "initialized",
    retry_count: int = 0,
    flow_type: str = "discovery",
    **columns: Any,
) -> UUID:
    """Insert a row with these JSON columns; Ellipsis stands for SQL NULL."""
    flow_id = flow_id or uuid4()
    assert columns.keys() <= set(COLUMNS)
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", cast(:{name} as jsonb)" for name in columns)
    await session.execute(
        text(
            "insert into migration.crewai_flow_state_extensions"
            " (id, flow_id, client_account_id, engagement_id, user_id, flow_type, flow_status, retry_count"
            f"{names}) values (gen_random_uuid(), :flow_id, :client_account_id, :engagement_id, :user_id,"
            f" :flow_type, :flow_status, :retry_count{values})"
        ),
        {
            "flow_id": flow_id,
            "flow_type": flow_type,
            "flow_status": flow_status,
            "retry_count": retry_count,
            **context.model_dump(),
            **{name: None if value is ... else json.dumps(value) for name, value in columns.items()},
        },
    )
    return flow_id


async def row_of(session: AsyncSession, flow_id: UUID) -> RowMapping:
    """Return what stands in the row now, as Python objects."""
    return await _read(session, flow_id, ", ".join(COLUMNS))


async def bytes_of(session: AsyncSession, flow_id: UUID) -> RowMapping:
    """Return the row as Postgres prints it, for comparing to the byte."""
    return await _read(session, flow_id, ", ".join(f"{name}::text" for name in COLUMNS))


async def _read(session: AsyncSession, flow_id: UUID, columns: str) -> RowMapping:
    rows = await session.execute(
        text(
            f"select flow_status, retry_count, {columns} from migration.crewai_flow_state_extensions"
            " where flow_id = :flow_id"
        ),
        {"flow_id": flow_id},
    )
    return rows.mappings().one()


async def merged(session: AsyncSession, flow_id: UUID, *batches: Iterable[AnyEvent]) -> RowMapping:
    """Apply these batches one after the other and return the row."""
    for batch in batches:
        outcome = await apply_events(session, list(batch))
        assert not outcome.missing
        assert not outcome.foreign
    return await row_of(session, flow_id)


def without_bookkeeping(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != "_enrichment"}
