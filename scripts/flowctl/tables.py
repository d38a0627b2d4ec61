"""`flowctl init-db`."""

from masterflow.repository.tables import Table, create_tables
from masterflow.scripts.database import with_engine
from masterflow.scripts.flowctl.options import AsJson
from masterflow.scripts.flowctl.output import print_done


def init_db(*, as_json: AsJson = False) -> None:
    """Create the tables that are missing; what exists stays as it is."""
    with_engine(create_tables)
    tables = list(Table.metadata.tables)
    print_done(f"These tables are there: {', '.join(tables)}.", as_json=as_json, tables=tables)
