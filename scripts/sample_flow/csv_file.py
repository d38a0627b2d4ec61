"""Reads a CSV file of any common dialect, or says in one sentence why it cannot be used."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from masterflow.domain import InputInvalid

_MAX_BYTES: Final = 50_000_000
_MAX_COLUMNS: Final = 200


class CsvInvalid(InputInvalid):
    """A CSV file cannot be used."""


@dataclass(frozen=True)
class Row:
    """A line of the file: its number, its cells by header, and how many cells it has too many or too few."""

    line: int
    cells: dict[str, str]
    surplus: int = 0


@dataclass(frozen=True)
class Table:
    """A read file."""

    headers: tuple[str, ...]
    rows: tuple[Row, ...]
    delimiter: str


def read_table(path: Path) -> Table:
    """Return the rows of a CSV file in UTF-8, with comma, semicolon, tab or bar as delimiter.

    Raises:
        CsvInvalid: it is missing, empty, too large, binary, not UTF-8, or has no usable header or no rows.
    """
    text = _read_text(path)
    try:
        delimiter = _delimiter(text)
        lines = _lines(text, delimiter)
    except csv.Error as error:
        raise CsvInvalid(f"{path} is no readable CSV file: {error}.") from error
    headers = _headers(path, lines[0][1] if lines else [])
    rows = tuple(_row(headers, line=line, cells=cells) for line, cells in lines[1:])
    if not rows:
        raise CsvInvalid(f"{path} has a header but no rows; add at least one server.")
    return Table(headers, rows, delimiter)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CsvInvalid(f"{path} is larger than {_MAX_BYTES // 1_000_000} MB; split it.")
        data = path.read_bytes()
    except OSError as error:
        raise CsvInvalid(f"{path} cannot be read: {error.strerror or error}.") from error
    if b"\0" in data:
        raise CsvInvalid(f"{path} is a binary file, or UTF-16 text; save it as 'CSV UTF-8'.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CsvInvalid(
            f"{path} is not UTF-8: line {line} holds the byte 0x{data[error.start]:02x} "
            f"(at offset {error.start}); save it as 'CSV UTF-8'."
        ) from error
    if not text.strip():
        raise CsvInvalid(f"{path} is empty; it needs a header line and one line per server.")
    return text


def _delimiter(text: str) -> str:
    """Return the delimiter that makes the most columns of the first line."""
    first_line = text.lstrip().split("\n", 1)[0]
    return max(",;\t|", key=lambda delimiter: len(next(csv.reader([first_line], delimiter=delimiter))))


def _lines(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return each line that is not blank, with its number and its trimmed cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    trimmed = ((reader.line_num, [cell.strip() for cell in cells]) for cells in reader)
    return [(line, cells) for line, cells in trimmed if any(cells)]


def _headers(path: Path, cells: list[str]) -> tuple[str, ...]:
    if len(cells) > _MAX_COLUMNS:
        raise CsvInvalid(f"{path} has {len(cells)} columns; at most {_MAX_COLUMNS} are read.")
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    if twice:
        raise CsvInvalid(f"{path} has two columns with the header {twice[0]!r}; rename one.")
    return tuple(cells)


def _row(headers: tuple[str, ...], *, line: int, cells: list[str]) -> Row:
    return Row(line, dict(zip(headers, cells, strict=False)), len(cells) - len(headers))
