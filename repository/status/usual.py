"""How long the flows of a type took that completed: what one flow is compared with."""

from typing import Final
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement

#: So many flows, the newest ones, say what is usual.
MOST_FLOWS: Final = 500


async def read_completed(
    db: AsyncSession, client_account_id: UUID, engagement_id: UUID, flow_type: str
) -> list[RowMapping]:
    """Return the newest flows of a type that completed, as read_usual.sql gives them.

    What raises DatabaseUnavailable may work later.
    """
    arguments = {
        "client_account_id": client_account_id,
        "engagement_id": engagement_id,
        "flow_type": flow_type,
        "most": MOST_FLOWS,
    }
    async with translated_errors():
        return list((await db.execute(statement("read_usual"), arguments)).mappings())
