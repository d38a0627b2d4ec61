"""Finds the table in the text of an export: its delimiter, its header line, and its rows."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from masterflow.scripts.sample_flow.exports import Flaw

#: A line of the file with its cells.
Line = tuple[int, list[str]]

#: So many lines are looked at for the header; titles, `#TYPE` and `sep=` stand before it.
_MAX_HEADER_LINE: Final = 20
_EMPTY: Final = "is empty; it needs a header line and one line per server"
_MAX_LINE_CHARS: Final = 1_000_000
_DELIMITERS: Final = ",;\t|"
_SEPARATOR: Final = re.compile(r'"?sep=([^\w"\n ])"?[,; \t]*(?:\n|$)', re.IGNORECASE)
_SINGLE_QUOTED: Final = re.compile(rf"(?:[^\n']*\n){{0,{_MAX_HEADER_LINE}}}?'[^'\n]*'[{_DELIMITERS}]'")
#: How Excel is kept from reading a text as a number.
_FORMULA: Final = re.compile('="(.*)"', re.DOTALL)
_RULE: Final = re.compile(r"[-=+_]{2,}")

#: Spaces that are no spaces for most readers, and characters that nobody sees.
_BLANKS: Final = dict.fromkeys((0xA0, 0x2007, 0x2009, 0x202F), " ") | dict.fromkeys(
    (0xAD, 0x200B, 0x2060, 0xFEFF), ""
)
#: What programs write where there is nothing.
_NOTHING: Final = frozenset({"#n/a", "null", "(null)", "<null>", "\\n", "none", "nan", "-", "--"})


@dataclass(frozen=True)
class Layout:
    """A table: its header, the lines after it, and the delimiter that was found."""

    header: list[str]
    lines: list[Line]
    delimiter: str


def layout_of(text: str, known_headers: Callable[[list[str]], int]) -> Layout:
    """Return the table in a text; its header is the line with the most headers that are known.

    Raises:
        Flaw: it is empty, or has a line that is no CSV or is endless.
    """
    text = io.StringIO(text.rstrip("\x1a").lstrip("\ufeff"), newline=None).read()
    if not text.strip(f"{_DELIMITERS} \n"):
        raise Flaw(_EMPTY)
    for number, line in enumerate(io.StringIO(text), 1):
        if len(line) > _MAX_LINE_CHARS:
            raise Flaw(
                f"has over {_MAX_LINE_CHARS:,} characters in line {number}; export it with a line per server"
            )
    delimiter, header_line = _header(text, known_headers)
    try:
        lines = [line for line in _lines(text, delimiter) if line[0] >= header_line]
    except csv.Error as error:
        raise Flaw(f"is no readable CSV file: {error}; mend the quotes there, or export it again") from error
    if not lines:
        raise Flaw(_EMPTY)
    return Layout(lines[0][1], [line for line in lines[1:] if not _is_rule(line[1])], delimiter)


def _header(text: str, known_headers: Callable[[list[str]], int]) -> tuple[str, int]:
    """Return the delimiter that shows the most known headers in a line, else most columns; and that line."""
    named = _SEPARATOR.match(text)
    found: list[tuple[int, int, int, str]] = []
    for delimiter in dict.fromkeys((named[1] if named else "") + _DELIMITERS):
        lines = list(_until_unreadable(islice(_lines(text, delimiter), _MAX_HEADER_LINE)))
        if named:
            lines = [line for line in lines if line[0] > 1]
        found += [
            (known_headers(cells), 0 if place else len(cells), -line, delimiter)
            for place, (line, cells) in enumerate(lines)
        ]
    _, _, line, delimiter = max(found, key=lambda each: each[:3], default=(0, 0, -1, ","))
    return delimiter, -line


def _lines(text: str, delimiter: str) -> Iterator[Line]:
    """Yield each line that is not blank, with its number and its trimmed cells.

    Raises:
        Error: a line is no CSV: a quote opens within a cell, or never closes.
    """
    quote = "'" if _SINGLE_QUOTED.match(text) else '"'
    reader = csv.reader(
        io.StringIO(text), delimiter=delimiter, quotechar=quote, skipinitialspace=True, strict=True
    )
    line = 0
    try:
        for cells in reader:
            line = reader.line_num
            trimmed = [_trimmed(cell) for cell in cells]
            if any(trimmed):
                yield line, trimmed
    except csv.Error as error:
        raise csv.Error(f"line {line + 1}: {error}") from error


def _until_unreadable(lines: Iterator[Line]) -> Iterator[Line]:
    try:
        yield from lines
    except csv.Error:
        return  # Whoever reads all lines meets it again, and tells.


def _trimmed(cell: str) -> str:
    """Return a cell without the blanks around it, and nothing for what means nothing."""
    if not cell.isascii():
        cell = cell.translate(_BLANKS)
    cell = cell.strip()
    if formula := _FORMULA.fullmatch(cell):
        cell = formula[1].strip()
    return "" if cell.lower() in _NOTHING else cell


def _is_rule(cells: list[str]) -> bool:
    """Tell whether a line only underlines the header or closes the table."""
    return all(_RULE.fullmatch(cell) for cell in cells if cell)
