"""What people look at, read by tenant: summaries of flows and their details."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowContext
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement


@dataclass(frozen=True, slots=True)
class FlowScope:
    """Whose flows are read: one client account, and those of its engagements that the reader may see.

    Where `engagement_ids` is None, these are all of the account.
    """

    client_account_id: UUID
    engagement_ids: frozenset[UUID] | None

    @classmethod
    def of(cls, context: FlowContext) -> "FlowScope":
        """Return the scope of one engagement."""
        return cls(context.client_account_id, frozenset({context.engagement_id}))

    def holds(self, row: Mapping[Any, Any]) -> bool:
        """Return whether a row of any tenant is one of these."""
        return row["client_account_id"] == self.client_account_id and self.sees(row["engagement_id"])

    def sees(self, engagement_id: UUID) -> bool:
        """Return whether an engagement of the account is one of these."""
        return self.engagement_ids is None or engagement_id in self.engagement_ids

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what every statement is scoped by."""
        engagement_ids = None if self.engagement_ids is None else sorted(self.engagement_ids)
        return {"client_account_id": self.client_account_id, "engagement_ids": engagement_ids}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: at this row of the list, which is sorted by creation."""

    #: Microseconds since 2000, as Postgres counts them: Python knows no time after 9999, and no infinity.
    created_us: int | None
    flow_id: UUID


async def read_one(db: AsyncSession, name: str, scope: FlowScope, flow_id: UUID) -> RowMapping | None:
    """Return the row of a statement about one flow, or None if the scope holds no such flow."""
    async with translated_errors():
        rows = await db.execute(statement(name), {**scope.arguments, "flow_id": flow_id})
        return rows.mappings().one_or_none()
