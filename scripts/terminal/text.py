"""Texts and times of unknown origin, made safe to show on a terminal, in a pipe and in JSON."""

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.text import Text

_BLANKS: Final = frozenset("\t\n\r\v\f\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}")


def harmless(value: object) -> str:
    """Return a value's text on one line; what could steer the terminal or reorder its characters is `�`."""
    return "".join(_harmless_char(char) for char in str(value))


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
    return text if text.isascii() else "".join(map(_escaped, text))


def shortened(text: str, most_chars: int) -> str:
    """Return a text that has at most so many characters, and ends with `…` if it had more."""
    return text if len(text) <= most_chars else f"{text[: most_chars - 1]}…"


def local(at: datetime) -> datetime:
    """Return a time in the zone of this machine, as far as there is one."""
    try:
        return at.astimezone()
    except OverflowError:
        return at


def _harmless_char(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char in _BLANKS else "�"


def _escaped(char: str) -> str:
    return char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1]
