"""What the demo shows: a bar per flow while they run, the example checks, and where to look afterwards."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from masterflow.scripts.demonstration.flows import Act, OnProgress
from masterflow.scripts.terminal.flow_panel import status_text
from masterflow.scripts.terminal.text import terminal_text
from masterflow.scripts.terminal.whole import print_whole


@contextmanager
def progress_bars(console: Console, acts: Sequence[Act]) -> Iterator[OnProgress]:
    """Show a bar per flow; give what moves it."""
    columns = (
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[doing]}"),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {act: progress.add_task(act.title, doing="") for act in acts}

        def move(act: Act, doing: str, percent: int | None) -> None:
            progress.update(tasks[act], doing=status_text(doing).markup, completed=percent)

        yield move
    console.print()


def print_check(console: Console, sql: str, found: Mapping[Act, Sequence[Mapping[Any, Any]]]) -> None:
    """Show an example check as it is written, and what it returned for each flow."""
    console.print(Syntax(sql.strip(), "sql", theme="ansi_dark", background_color="default", word_wrap=True))
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("column", style="dim", no_wrap=True)
    for act in found:
        table.add_column(act.title, overflow="fold")
    for name in dict.fromkeys(name for rows in found.values() for row in rows for name in row):
        # A column has one value, unless the check returns as many rows as it has values.
        table.add_row(name, *(_values(row[name] for row in rows) for rows in found.values()))
    print_whole(console, table)
    console.print()


def _values(found: Iterable[Any]) -> Text:
    """Return a line per different value."""
    return Text("\n").join(map(terminal_text, dict.fromkeys(map(str, found))))


def print_guide(console: Console, places: Mapping[str, str]) -> None:
    """Say where to look, each address and command on a line of its own that nothing breaks, to be pasted."""
    for name, place in places.items():
        console.print(Text(name, "bold"), soft_wrap=True)
        for line in place.splitlines():
            console.print(Text(line), soft_wrap=True)
    console.print()
