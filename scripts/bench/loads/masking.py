"""Time masking beside `json.dumps` of the same text, in one run: texts without a secret, and the worst.

Run it as `.venv/bin/python -m masterflow.scripts.bench.loads.masking`. It needs no server. A
megabyte of the worst took 55 ms where it was written, of which the first 8,000 characters took nearly all.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from masterflow.domain.payload.masking import mask_text, may_hold_secret
from masterflow.scripts.terminal.entrance import run_program

_ROOT: Final = Path(__file__).resolve().parents[3]
_CHARS: Final = 1_000_000
# As much of a text as is read with care, whatever comes behind it.
_CAREFUL_CHARS: Final = 8_000

# Of a longer text the end is masked whole.
_MOST_CHARS: Final = 60_000

#: Short texts that masking has most to do with, repeated.
WORST: Final = (
    "curl -u a:b ",
    "az keyvault secret set --value x ",
    "mysql -p ",
    "password: \n",
    "name: password\nvalue: x\n",
    "Credentials('a', 'b', ",
    "AUTH PLAIN abcdefgh\n",
    "code d'acc\u00e8s : ",
    "config:set A=1 ",
    "secret set ",
    "put-parameter --name a/password ",
    "password for a b c d e ",
    "username a role b role c password ",
    '{"password": ["',
    "tokens: [a, ",
    "://a:b",
    "MIIBVAIBADANBgkq ",
    "\\u0070\\u0061ss",
)


class Timed(NamedTuple):
    """How many milliseconds a text takes, and how often that of `json.dumps` of the same text."""

    name: str
    chars: int
    ms: float
    ratio: float


def timed(name: str, text: str, call: Callable[[str], object], rounds: int = 3) -> Timed:
    """Time a call over a text in processor time, and `json.dumps` beside it."""
    ms = _ms(text, call, rounds)
    return Timed(name, len(text), ms, ms / _ms(text, json.dumps, rounds))


def _ms(text: str, call: Callable[[str], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.process_time()
        call(text)
        times.append(time.process_time() - began)
    return max(min(times), 1e-9) * 1e3


def harmless_text() -> str:
    """Return what of this project's documents and code holds nothing that may be a secret."""
    files = [*(_ROOT / "docs").rglob("*.md"), *(_ROOT / "repository").rglob("*.py")]
    lines = [line for file in sorted(files) for line in file.read_text().split("\n") if line.isascii()]
    text = "\n".join(line for line in lines if not may_hold_secret(line))
    return (text * (1 + _CHARS // len(text)))[:_CHARS]


def measure(chars: int = _CHARS) -> list[Timed]:
    """Time texts without a secret, then the worst ones, the slowest first."""
    harmless = harmless_text()[:chars]
    short = [line for line in harmless.split("\n") if line]
    found = [
        timed("harmless, in one", harmless[:_MOST_CHARS], mask_text),
        timed("harmless, line by line", harmless, lambda _: [mask_text(line) for line in short]),
    ]
    worst = [
        timed(repr(unit), (unit * (1 + size // len(unit)))[:size], mask_text)
        for unit in WORST
        for size in {min(_CAREFUL_CHARS, chars), chars}
    ]
    return found + sorted(worst, key=lambda one: one.ms, reverse=True)


def main(chars: int = _CHARS) -> None:
    """Print how long masking takes."""
    table = Table("text", "chars", "ms", "to json.dumps")
    for one in measure(chars):
        table.add_row(one.name, f"{one.chars:,}", f"{one.ms:.1f}", f"{one.ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
