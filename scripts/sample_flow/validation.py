"""Finds the rows that cannot be trusted, and says of each what is wrong with it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from masterflow.scripts.sample_flow import cell_values
from masterflow.scripts.sample_flow.csv_file import CsvInvalid, Row, Table, read_table
from masterflow.scripts.sample_flow.exports.notation import READ_FIELDS
from masterflow.scripts.sample_flow.fields import REQUIRED, SYNONYMS, columns_of, match_headers

#: What stands in the place of a name in a line that sums up.
_TOTALS: Final = frozenset({"total", "totals", "grand total", "sum", "summe", "gesamt", "count", "subtotal"})
_MOST_CAUSES: Final = 3


@dataclass(frozen=True)
class Issue:
    """What is wrong with one cell; rows with an issue are set aside."""

    line: int
    column: str
    value: str
    problem: str


def check_csv(path: Path) -> tuple[str, ...]:
    """Refuse a file that a flow could not work on; return in sentences what it would leave out.

    Made to be asked before a flow exists.
    """
    table = read_table(path)
    columns = columns_of(match_headers(table.headers))
    require_columns(path, columns)
    issues = find_issues(table, columns)
    require_rows(path, table, issues)
    return remarks_on(table, issues)


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


def require_rows(path: Path, table: Table, issues: list[Issue]) -> None:
    """Refuse a file of which every row is set aside.

    Raises:
        CsvInvalid: that is so; the message says for what.
    """
    if len({issue.line for issue in issues}) == len(table.rows):
        raise CsvInvalid(f"{path} has no row that can be used: {causes_of(issues)}; mend these.")


def remarks_on(table: Table, issues: list[Issue]) -> tuple[str, ...]:
    """Return in a sentence each what is left out of a table."""
    aside = len({issue.line for issue in issues})
    set_aside = (f"Of {len(table.rows)} rows {aside} are set aside: {causes_of(issues)}.",) if aside else ()
    unreadable = table.notation.unreadable.items()
    return (*set_aside, *(f"Column {header!r} is not read: {problem}." for header, problem in unreadable))


def causes_of(issues: list[Issue]) -> str:
    """Return in words for what most rows are set aside, each with an example."""
    first: dict[tuple[str, str], Issue] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for issue in issues:
        cause = (issue.column, issue.problem.split(";")[0].rstrip("0123456789"))
        first.setdefault(cause, issue)
        counts[cause] += 1
    return ", ".join(
        f"{_in_words(first[cause])}{f' (and {count - 1} more like it)' if count > 1 else ''}"
        for cause, count in counts.most_common(_MOST_CAUSES)
    )


def _in_words(issue: Issue) -> str:
    where = f"{issue.column!r} " if issue.column else ""
    value = f"{issue.value!r:.40} " if issue.value else ""
    return f"line {issue.line} {where}{value}{issue.problem.split(';')[0]}"


def find_issues(table: Table, columns: dict[str, str]) -> list[Issue]:
    """Return the issues of all rows, in the order of the file."""
    seen: dict[str, int] = {}
    issues = [issue for row in table.rows for issue in _row_issues(row, columns, seen=seen)]
    last = table.rows[-1]
    name = last.cells.get(columns["hostname"], "")
    if name.lower().rstrip(":") in _TOTALS and all(issue.line != last.line for issue in issues):
        issues.append(Issue(last.line, columns["hostname"], name, "sums up, and is no server"))
    return issues


def _row_issues(row: Row, columns: dict[str, str], *, seen: dict[str, int]) -> Iterator[Issue]:
    if row.surplus:
        yield Issue(
            row.line, "", "", f"has {abs(row.surplus)} cells too {'many' if row.surplus > 0 else 'few'}"
        )
        return
    if all(cell in {header, ""} for header, cell in row.cells.items()):
        yield Issue(row.line, "", "", "is the header once more")
        return
    for field in REQUIRED:
        if not row.cells[columns[field]]:
            yield Issue(row.line, columns[field], "", "is missing")
    for field in READ_FIELDS:
        header = columns.get(field, "")
        value = row.cells.get(header, "")
        if not value or header in row.notation.unreadable:
            continue
        try:
            row.notation.read(field, header, value)
        except ValueError as error:
            yield Issue(row.line, header, value, str(error))
    yield from _duplicates(row, columns["hostname"], seen=seen)


def _duplicates(row: Row, column: str, *, seen: dict[str, int]) -> Iterator[Issue]:
    if not (value := row.cells[column]):
        return
    first = seen.setdefault(cell_values.hostname(value), row.line)
    if first != row.line:
        yield Issue(row.line, column, value, f"is the same server as in line {first}")
