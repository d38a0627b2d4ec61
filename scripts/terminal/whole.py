"""Tables of which a narrow terminal or a pipe never takes a part away."""

import copy
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

console: Final = Console(highlight=False)

#: Wider than any line; only measured with, never filled.
_UNBOUNDED: Final = 1_000_000

_GAP: Final = 2


class Whole:
    """A table that becomes a record per row where a column would have to break a value.

    Columns without a name, which only decorate, go first.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table as it fits."""
        for table in (self._table, _with(self._table, _named_columns(self._table))):
            needs = [_need(console, column) for column in table.columns]
            room = options.max_width - _GAP * len(needs)
            if sum(need.minimum for need in needs) <= room:
                # Left alone, Rich would break words of one column to keep another on one line.
                widths = _widths(needs, room)
                columns = zip(table.columns, widths, strict=True)
                yield _with(table, [replace(column, width=width) for column, width in columns])
                return
        yield _records(self._table)


class Record:
    """Values beside their names; a value that would break stands below its name."""

    def __init__(self, values: Mapping[str, RenderableType]) -> None:
        self._values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a line per value, or more where it has more."""
        beside = max(map(len, self._values), default=0) + _GAP
        for name, value in self._values.items():
            grid = Table.grid()
            if beside + _needed(console, value).minimum <= options.max_width:
                grid.add_column(width=beside, no_wrap=True)
                grid.add_column(overflow="fold")
                grid.add_row(Text(name, "dim"), value)
            else:
                grid.add_column(overflow="fold")
                grid.add_row(Text(name, "dim"))
                grid.add_row(value)
            yield grid


def is_unbounded(options: ConsoleOptions) -> bool:
    """Return whether what is printed goes to a pipe, whose lines have no end."""
    return options.max_width == _UNBOUNDED


def print_whole(console: Console, shown: RenderableType) -> None:
    """Print something so that no value in it is broken: in a pipe each line is as long as it needs to be."""
    shown = Whole(shown) if isinstance(shown, Table) else shown
    if console.is_terminal or "COLUMNS" in os.environ:
        console.print(shown)
        return
    # A pipe has no width: 80 would only be a guess.
    wide = Console(file=io.StringIO(), width=_UNBOUNDED, highlight=False)
    with wide.capture() as capture:
        wide.print(shown)
    for line in capture.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")


def _need(console: Console, column: Column) -> Measurement:
    """Return the widths that whole words and whole lines of a column need."""
    needs = [_needed(console, cell) for cell in (column.header, *column.cells)]
    widest = max(need.maximum for need in needs)
    return Measurement(widest if column.no_wrap else max(need.minimum for need in needs), widest)


def _needed(console: Console, cell: RenderableType) -> Measurement:
    return Measurement.get(console, console.options.update(width=_UNBOUNDED), cell)


def _widths(needs: Sequence[Measurement], room: int) -> list[int]:
    """Return a width per column: what its words need, and a fair part of the room that is left."""
    widths = [need.minimum for need in needs]
    left = room - sum(widths)
    modest_first = sorted(range(len(needs)), key=lambda index: needs[index].span)
    for others, index in zip(range(len(needs), 0, -1), modest_first, strict=True):
        more = min(needs[index].span, left // others)
        widths[index] += more
        left -= more
    return widths


def _named_columns(table: Table) -> list[Column]:
    return [column for column in table.columns if _name_of(column)]


def _with(table: Table, columns: list[Column]) -> Table:
    other = copy.copy(table)
    other.columns = columns
    return other


def _records(table: Table) -> Group:
    """Return a record per row, and an empty line between two."""
    columns = _named_columns(table)
    parts: list[RenderableType] = []
    for row in zip(*(column.cells for column in columns), strict=True):
        values = {
            _name_of(column): cell for column, cell in zip(columns, row, strict=True) if str(cell).strip()
        }
        parts += ["", Record(values)] if parts else [Record(values)]
    return Group(*parts)


def _name_of(column: Column) -> str:
    return str(column.header)
