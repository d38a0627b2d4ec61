"""Reads a CSV file of any common dialect, or says in one sentence why it cannot be used."""

import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from masterflow.domain import InputInvalid
from masterflow.scripts.sample_flow.exports import Flaw
from masterflow.scripts.sample_flow.exports.encodings import decoded
from masterflow.scripts.sample_flow.exports.layout import Layout, layout_of
from masterflow.scripts.sample_flow.exports.notation import Notation, notation_of
from masterflow.scripts.sample_flow.fields import columns_of, is_known, key_of, match_headers

_MAX_BYTES: Final = 50_000_000
_MAX_COLUMNS: Final = 200
_MIN_HEADERS: Final = 3


class CsvInvalid(InputInvalid):
    """A CSV file cannot be used."""


@dataclass(frozen=True)
class Row:
    """A line of the file: its number, its cells by header, and how many cells it has too many or too few."""

    line: int
    cells: dict[str, str]
    surplus: int = 0
    notation: Notation = field(default_factory=Notation)


@dataclass(frozen=True)
class Table:
    """A read file."""

    headers: tuple[str, ...]
    rows: tuple[Row, ...]
    delimiter: str
    encoding: str = "utf-8"
    notation: Notation = field(default_factory=Notation)


def read_table(path: Path) -> Table:
    """Return the rows of a CSV file: UTF-8, UTF-16 or cp1252, delimited by comma, semicolon, tab or bar.

    Lines before the header, such as titles or `#TYPE`, are passed over.

    Raises:
        CsvInvalid: it is missing, empty, too large, binary, of an unknown encoding, without a usable header
            or rows, or can be read in two ways.
    """
    try:
        return _table(_content(path))
    except OSError as error:
        raise CsvInvalid(f"{path} cannot be read: {error.strerror or error}; name a file.") from error
    except Flaw as flaw:
        raise CsvInvalid(f"{path} {flaw}.") from flaw


def _content(path: Path) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not path.is_dir():
        # It is read more than once, and a pipe or a device might never end.
        raise Flaw("is no file but a pipe or a device; save it, and name the file")
    if found.st_size > _MAX_BYTES:
        raise Flaw(f"is larger than {_MAX_BYTES // 1_000_000} MB; split it")
    return path.read_bytes()


def _table(data: bytes) -> Table:
    text, encoding = decoded(data)
    layout = layout_of(text, lambda cells: sum(map(is_known, cells)))
    named = _named(layout)
    headers = tuple(named.values())
    rows = tuple(_row(named, len(layout.header), line=line, cells=cells) for line, cells in layout.lines)
    if not rows:
        raise Flaw("has a header but no rows; add at least one server")
    _refuse_second_table(layout)
    columns = columns_of(match_headers(headers))
    notation = notation_of((row.cells for row in rows), columns, delimiter=layout.delimiter)
    rows = tuple(Row(row.line, row.cells, row.surplus, notation) for row in rows)
    return Table(headers, rows, layout.delimiter, encoding, notation)


def _named(layout: Layout) -> dict[int, str]:
    """Return the header of each column by its place; one without a header counts if it has values.

    Raises:
        Flaw: there are too many, or two of one name that is known.
    """
    used = {place for _, cells in layout.lines for place, cell in enumerate(cells) if cell}
    named = {
        place: header or f"column {place + 1}"
        for place, header in enumerate(layout.header)
        if header or place in used
    }
    if len(named) > _MAX_COLUMNS:
        raise Flaw(f"has {len(named)} columns; at most {_MAX_COLUMNS} are read; delete some")
    seen: Counter[str] = Counter()
    for place, header in named.items():
        key = key_of(header) if is_known(header) else header
        seen[key] += 1
        if seen[key] > 1:
            if is_known(header):
                raise Flaw(f"has two columns with the header {header!r}; rename one")
            named[place] = f"{header} ({seen[key]})"
    return named


def _refuse_second_table(layout: Layout) -> None:
    """Refuse a file in which another table begins: a line of other headers, of which most are known.

    Raises:
        Flaw: it is one.
    """
    for line, cells in layout.lines:
        filled = [cell for cell in cells if cell]
        known = sum(map(is_known, filled))
        if known >= _MIN_HEADERS and known > len(filled) / 2 and cells != layout.header:
            raise Flaw(f"has a second table from line {line} on; export each into a file of its own")


def _row(named: dict[int, str], width: int, *, line: int, cells: list[str]) -> Row:
    """Return a row; cells that are empty and beyond the last header are neither too many nor too few."""
    filled = max((place + 1 for place, cell in enumerate(cells) if cell), default=0)
    needed = max(named, default=-1) + 1
    surplus = len(cells) - width if filled > width else min(len(cells) - needed, 0)
    return Row(line, {named[place]: cell for place, cell in enumerate(cells) if place in named}, surplus)
