"""`flowctl init-db`."""

from repository.tables import Table, create_tables
from scripts.database import with_engine


def init_db() -> None:
    """Create the tables that are missing; what exists stays as it is."""
    with_engine(create_tables)
    print(f"These tables are there: {', '.join(Table.metadata.tables)}.")
