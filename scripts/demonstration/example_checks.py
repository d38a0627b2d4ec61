"""The design document's two example checks, run on a flow to the letter."""

import re
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

#: What users paste into their own tools, by name.
EXAMPLE_CHECKS: Final = {
    name: Path(__file__).with_name(f"check_{name}.sql").read_text(encoding="utf-8")
    for name in ("master", "child")
}

# A name after one colon; after two it is a type.
_PARAMETER: Final = re.compile(r"(?<!:):(\w+)")


async def run_check(
    connection: AsyncConnection, sql: str, *, flow_id: UUID, client_account_id: UUID
) -> list[RowMapping]:
    """Return the rows of a check on one flow."""
    values: dict[str, Any] = {"flow_id": flow_id, "client": client_account_id}
    # The driver writes parameters in another way than the document.
    rows = await connection.exec_driver_sql(_PARAMETER.sub(r"%(\1)s", sql), values)
    return list(rows.mappings())
