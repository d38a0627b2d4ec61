"""What every command writes: tables for people, JSON for programs."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from masterflow.scripts.terminal.text import say, say_json, terminal_text

if TYPE_CHECKING:
    from rich.text import Text


def print_json(document: Any) -> None:
    """Print a document as JSON."""
    say_json(document, indent=2)


def print_done(sentence: str, *, as_json: bool, **counts: Any) -> None:
    """Print what was done: as a sentence, or as JSON with these keys."""
    if as_json:
        print_json(counts)
    else:
        say(sentence)


def print_table(columns: Sequence[str], rows: "Iterable[Sequence[Text | str]]", *, empty: str) -> None:
    """Print rows under their columns, the first of which is never broken, or the sentence `empty`."""
    # Who prints JSON or help needs no Rich.
    from rich.table import Table
    from rich.text import Text

    from masterflow.scripts.terminal.whole import console, print_whole

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == columns[0])
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else terminal_text(cell) for cell in row))
    if table.row_count:
        print_whole(console, table)
    else:
        say(empty)
