"""`flowctl init-db`."""

from typing import TYPE_CHECKING

from masterflow.scripts.flowctl.options import AsJson
from masterflow.scripts.flowctl.output import print_done
from masterflow.scripts.terminal.failures import fail

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


def init_db(*, as_json: AsJson = False) -> None:
    """Create the tables that are missing; what exists stays as it is, and is told if it does not fit."""
    from masterflow.repository.tables import Table
    from masterflow.scripts.database import with_engine

    if problems := with_engine(_create):
        fail(" ".join(problems))
    tables = list(Table.metadata.tables)
    print_done(f"These tables are there: {', '.join(tables)}.", as_json=as_json, tables=tables)


async def _create(engine: "AsyncEngine") -> list[str]:
    """Create what is missing; return what of the rest the code cannot work with, each with what to do."""
    from masterflow.repository.tables import create_tables
    from masterflow.scripts.doctor.tables import table_results

    await create_tables(engine)
    async with engine.connect() as connection:
        results = await connection.run_sync(table_results)
    return [problem for result in results if (problem := result.problem)]
