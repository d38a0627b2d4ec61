"""Texts of unknown origin, made safe to show on a terminal, in a pipe and in JSON."""

import json
import sys
from typing import TYPE_CHECKING, Any

from masterflow.domain.shown.harmless import harmless, harmless_json

if TYPE_CHECKING:
    from rich.text import Text


def say(sentence: object) -> None:
    """Print one line for whoever reads along."""
    print(harmless(sentence), flush=True)  # noqa: T201  here, and nowhere else


def say_json(document: Any, *, indent: int | None = None) -> None:
    """Print a document as JSON, on one line unless it is indented."""
    print(json_text(document, indent=indent), flush=True)  # noqa: T201


def complain(sentence: object) -> None:
    """Say on stderr what is wrong, in one line."""
    print(harmless(sentence), file=sys.stderr, flush=True)  # noqa: T201


def terminal_text(value: object, style: str = "") -> "Text":
    """Return the same for a table."""
    # It takes 30 ms to load, which usage errors and completion need not wait for.
    from rich.text import Text  # noqa: PLC0415

    return Text(harmless(value), style)


def json_text(document: Any, *, indent: int | None = None) -> str:
    """Return a document as JSON of the same value, whose strings hold such characters as escapes.

    What JSON does not know is written as text; where the output is not Unicode, so is no other character.
    """
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(document, indent=indent, default=str, ensure_ascii=not is_unicode)
    return harmless_json(text)


def shortened(text: str, most_chars: int) -> str:
    """Return a text that has at most so many characters, and ends with `…` if it had more."""
    return text if len(text) <= most_chars else f"{text[: most_chars - 1]}…"
