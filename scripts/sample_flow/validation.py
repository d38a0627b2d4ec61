"""Finds the rows that cannot be trusted, and says of each what is wrong with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from masterflow.scripts.sample_flow import cell_values
from masterflow.scripts.sample_flow.csv_file import CsvInvalid, Row, Table, read_table
from masterflow.scripts.sample_flow.fields import REQUIRED, SYNONYMS, columns_of, match_headers

_READERS: Final[dict[str, Callable[[str], object]]] = {
    "ip_address": cell_values.address,
    "cpu_cores": cell_values.count,
    "ram_gb": cell_values.gigabytes,
    "storage_gb": cell_values.gigabytes,
    "installed_on": cell_values.day,
    "last_patched": cell_values.day,
    "monthly_cost": cell_values.dollars,
}


@dataclass(frozen=True)
class Issue:
    """What is wrong with one cell; rows with an issue are set aside."""

    line: int
    column: str
    value: str
    problem: str


def check_csv(path: Path) -> None:
    """Refuse a file that a flow could not work on; made to be asked before a flow exists."""
    require_columns(path, columns_of(match_headers(read_table(path).headers)))


def require_columns(path: Path, columns: dict[str, str]) -> None:
    """Refuse a file that lacks a column without which nothing can be done.

    Raises:
        CsvInvalid: it lacks one; the message names headers that would be understood.
    """
    for field in REQUIRED:
        if field not in columns:
            known = ", ".join(repr(name) for name in SYNONYMS[field][:3])
            name = field.replace("_", " ")
            raise CsvInvalid(f"{path} has no column for the {name}; add one with a header such as {known}.")


def find_issues(table: Table, columns: dict[str, str]) -> list[Issue]:
    """Return the issues of all rows, in the order of the file."""
    seen: dict[str, int] = {}
    return [issue for row in table.rows for issue in _row_issues(row, columns, seen=seen)]


def _row_issues(row: Row, columns: dict[str, str], *, seen: dict[str, int]) -> Iterator[Issue]:
    if row.surplus:
        yield Issue(
            row.line, "", "", f"has {abs(row.surplus)} cells too {'many' if row.surplus > 0 else 'few'}"
        )
        return
    for field in REQUIRED:
        if not row.cells[columns[field]]:
            yield Issue(row.line, columns[field], "", "is missing")
    for field, read in _READERS.items():
        value = row.cells.get(columns.get(field, ""), "")
        try:
            _ = read(value) if value else None
        except ValueError as error:
            yield Issue(row.line, columns[field], value, str(error))
    yield from _duplicates(row, columns["hostname"], seen=seen)


def _duplicates(row: Row, column: str, *, seen: dict[str, int]) -> Iterator[Issue]:
    if not (value := row.cells[column]):
        return
    first = seen.setdefault(cell_values.hostname(value), row.line)
    if first != row.line:
        yield Issue(row.line, column, value, f"is the same server as in line {first}")
