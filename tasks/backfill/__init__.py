"""The periodic backfill of master rows from child rows."""
