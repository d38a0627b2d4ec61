"""What the child row of a flow says in a few words."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.children.child_flow import ChildFlow
from masterflow.domain.children.completion import column_verdicts, percentage
from masterflow.domain.flow_types.catalog import specification
from masterflow.repository.child_tables import FoundTable, child_facts, find_table
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement
from masterflow.repository.status.reads import FlowScope


async def read_child(
    db: AsyncSession, scope: FlowScope, flow_id: UUID, *, flow_type: str
) -> dict[str, Any] | None:
    """Return the small facts of a flow's child row; None if it has none, or its type keeps none.

    Shape: {"status", "current_phase", "progress_percentage", "completed_phases": 2, "phases": 6, ..}; what
    is not known is None.
    """
    spec = specification(flow_type)
    if spec is None or spec.child is None:
        return None
    table = await find_table(db, spec)
    if table.misfit:
        return None
    async with translated_errors():
        read = statement("read_child_status", child_facts=child_facts(table))
        row = (await db.execute(read, {**scope.arguments, "flow_id": flow_id})).mappings().one_or_none()
    return None if row is None else {**row, **_counted(table, row)}


def _counted(table: FoundTable, row: Any) -> dict[str, Any]:
    child = ChildFlow(
        spec=table.spec,
        flow_id=row["flow_id"],
        version="",
        status=row["status"] or "",
        completed=row["completed"],
        progress=row["progress"],
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
    )
    complete = {phase for phase, done in column_verdicts(child).items() if done}
    courses = [course for course in table.spec.child_courses if table.keeps(course) and complete <= {*course}]
    progress = percentage(child)
    return {
        "progress_percentage": progress[0] if progress else None,
        "completed_phases": len(complete) if table.columns else None,
        "phases": len(courses[0]) if len(courses) == 1 else None,
    }
