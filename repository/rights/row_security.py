"""Whether a row that is not seen may be there all the same, hidden from our role by row-level security."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowNotFound, TenantMismatch
from masterflow.domain.errors import FlowHidden, RightsMissing
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement
from masterflow.repository.tables import CrewAIFlowStateExtensions, Table

_ADVICE: Final = "give it BYPASSRLS or a policy for it with `using (true)`"


@dataclass(frozen=True, slots=True)
class RowSecurity:
    """What policies do to the rows of a table as our role sees it; nothing where they do not hold for it."""

    name: str
    role: str
    #: Some rows may be there and not be seen.
    hides_rows: bool = False
    #: There have been rows, and none is seen.
    hides_all: bool = False
    #: Some rows that are seen may not be updated.
    limits_updates: bool = False
    #: No row may be updated.
    refuses_updates: bool = False

    @property
    def blindness(self) -> str:
        """Return in a sentence that no row can be seen; empty if some can."""
        if not self.hides_all:
            return ""
        return f"Row-level security hides every row of {self.name} from the role {self.role}; {_ADVICE}."

    @property
    def refusal(self) -> str:
        """Return in a sentence that no row can be updated; empty if some can."""
        if self.hides_all or not self.refuses_updates:
            return self.blindness
        return f"Row-level security lets the role {self.role} update no row of {self.name}; {_ADVICE}."

    @property
    def limits(self) -> str:
        """Return in a sentence what may be hidden; empty if nothing is."""
        if not (self.hides_rows or self.limits_updates):
            return ""
        does = "hide" if self.hides_rows else "refuse updates of"
        return f"Row-level security may {does} rows of {self.name} from the role {self.role}; {_ADVICE}."


async def read_row_security(db: AsyncSession, table: type[Table] = CrewAIFlowStateExtensions) -> RowSecurity:
    """Return what policies do to the rows of a table; of one that is missing, nothing."""
    name = f"{table.metadata.schema}.{table.__tablename__}"
    async with translated_errors():
        read = statement("read_row_security", rows=f"select from {name}")
        row = (await db.execute(read, {"name": name})).mappings().one_or_none()
    return RowSecurity(name, **row) if row else RowSecurity(name, "")


async def check_sight(db: AsyncSession) -> None:
    """Do nothing if our role sees any master row, or if there is none.

    Raises:
        RightsMissing: policies hide all of them.
    """
    if said := (await read_row_security(db)).blindness:
        raise RightsMissing(said)


async def check_reach(db: AsyncSession) -> None:
    """Do nothing if our role sees and may update any master row, or if there is none.

    Raises:
        RightsMissing: policies hide all of them, or let none be updated.
    """
    if said := (await read_row_security(db)).refusal:
        raise RightsMissing(said)


async def foreign_flow(
    db: AsyncSession,
    flow_id: UUID | str,
    *,
    advice: str = "",
    is_update: bool = False,
    table: type[Table] = CrewAIFlowStateExtensions,
) -> TenantMismatch:
    """Return the error to raise where the row is another tenant's, in the words of `no_such_flow`."""
    missing = await no_such_flow(db, flow_id, advice=advice, is_update=is_update, table=table)
    return TenantMismatch(str(missing))


async def no_such_flow(
    db: AsyncSession,
    flow_id: UUID | str,
    *,
    advice: str = "",
    is_update: bool = False,
    table: type[Table] = CrewAIFlowStateExtensions,
) -> FlowNotFound:
    """Return the error to raise where a table has no row of a flow, or none that may be updated."""
    security = await read_row_security(db, table)
    what = f"{'flow' if table is CrewAIFlowStateExtensions else 'discovery flow'} {flow_id}"
    ending = f"; {advice}" if advice else ""
    if not security.hides_rows and not (is_update and security.limits_updates):
        return FlowNotFound(f"There is no {what}{ending}.")
    return FlowHidden(
        f"The role {security.role} reaches no {what}, and a row-level security policy may hide it:"
        f" {_ADVICE}{ending}."
    )
