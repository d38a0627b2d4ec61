"""Tables and texts that a narrow terminal, a pipe or a poor encoding never takes a part of."""

import codecs
import io
import os
import sys
from typing import Final

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table

#: Wider than any line; only measured with, never printed.
_UNBOUNDED: Final = 1_000_000

#: What our marks become where the encoding lacks them.
_PLAIN_MARKS: Final = {"✔": "+", "✘": "x", "•": "*", "▶": ">", "⏸": "=", "→": "->", "…": "...", "�": "?"}


def write_in_any_encoding() -> None:
    """Let stdout and stderr write what their encoding lacks: marks in ASCII, the rest as escapes."""
    codecs.register_error("plain_marks", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain_marks")


def print_whole(console: Console, table: Table) -> None:
    """Print a table; where it does not fit without breaking a value, print its rows as records."""
    if not console.is_terminal and "COLUMNS" not in os.environ:
        # A pipe has no width: 80 would only be a guess.
        width = _width(console, table.columns, narrow=False)
        Console(file=console.file, width=width, highlight=False).print(table)
    elif _width(console, table.columns, narrow=True) <= console.width:
        console.print(table)
    else:
        console.print(_records(table))


def _width(console: Console, columns: list[Column], *, narrow: bool) -> int:
    """Return the width that whole lines need, or whole words (`narrow`) where a column may wrap."""
    options = console.options.update(width=_UNBOUNDED)

    def width_of(cell: RenderableType, column: Column) -> int:
        needed = Measurement.get(console, options, cell)
        return needed.minimum if narrow and not column.no_wrap else needed.maximum

    widths = (max(width_of(cell, it) for cell in (it.header, *it.cells)) for it in columns)
    return sum(widths) + 2 * len(columns)


def _records(table: Table) -> Table:
    """Return a line per value instead of a column, and an empty line between rows."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for index, row in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        if index:
            grid.add_row()
        for column, cell in zip(table.columns, row, strict=True):
            grid.add_row(column.header, cell)
    return grid


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        mark = _PLAIN_MARKS.get(error.object[error.start])
        if mark is not None:
            return mark, error.start + 1
    return codecs.backslashreplace_errors(error)
