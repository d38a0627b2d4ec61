"""A discovery flow over a CSV of servers: a real orchestrator, and the example to copy from."""

from pathlib import Path
from typing import Final

from masterflow.scripts.sample_flow.child_store import PostgresChildStore, create_flow
from masterflow.scripts.sample_flow.csv_file import CsvInvalid
from masterflow.scripts.sample_flow.discovery import Approver, ChildStore, Scenario
from masterflow.scripts.sample_flow.flow import OnProgress, Outcome, run_flow
from masterflow.scripts.sample_flow.validation import check_csv

#: About 500 made-up servers, 6 % of the rows with a mistake.
SERVERS_CSV: Final = Path(__file__).with_name("servers.csv")

__all__ = [
    "SERVERS_CSV",
    "Approver",
    "ChildStore",
    "CsvInvalid",
    "OnProgress",
    "Outcome",
    "PostgresChildStore",
    "Scenario",
    "check_csv",
    "create_flow",
    "run_flow",
]
