"""How the flows stand that processes say to hold, by their signs and by their rows."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.liveness import Liveness
from masterflow.repository.database import translated_errors
from masterflow.repository.redis.holders import Holders, liveness_among
from masterflow.repository.sql import statement
from masterflow.repository.status.reads import FlowScope


async def read_held(
    db: AsyncSession, holders: Holders, scope: FlowScope | None = None
) -> Mapping[UUID, Liveness | None]:
    """Return how each flow stands that somebody says to hold and that has a row, in a scope or anywhere.

    So who filters and counts says of a flow what its own view says. Raises DatabaseUnavailable.
    """
    if not holders.flow_ids:
        return {}
    whose = scope.arguments if scope else {"client_account_id": None, "engagement_ids": []}
    async with translated_errors():
        arguments = {**whose, "flow_ids": holders.flow_ids}
        rows = (await db.execute(statement("read_held"), arguments)).mappings()
        return {row["flow_id"]: liveness_among(row, holders.of(row["flow_id"])) for row in rows}
