"""What every command writes: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from masterflow.scripts.terminal.text import terminal_text
from masterflow.scripts.terminal.whole import print_whole

console: Final = Console(highlight=False)


def print_json(document: Any) -> None:
    """Print a document as JSON; what JSON does not know is written as text."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(document, indent=2, default=str, ensure_ascii=not is_unicode))


def print_done(sentence: str, *, as_json: bool, **counts: Any) -> None:
    """Print what was done: as a sentence, or as JSON with these keys."""
    if as_json:
        print_json(counts)
    else:
        console.print(sentence)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Text | str]], *, empty: str) -> None:
    """Print rows under their columns, the first of which is never broken, or the sentence `empty`."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == columns[0])
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else terminal_text(cell) for cell in row))
    if table.row_count:
        print_whole(console, table)
    else:
        console.print(empty)
