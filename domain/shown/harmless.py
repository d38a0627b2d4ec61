"""Texts of unknown origin without what could steer a terminal, reorder its characters or forge a line."""

import json
from typing import Final

_BLANKS: Final = frozenset("\t\n\r\v\f\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}")

#: What the second and every further line of an entry in a log begins with.
CONTINUED: Final = "  | "


def harmless(value: object) -> str:
    """Return a value's text on one line; what could steer the terminal or reorder its characters is `�`."""
    text = str(value)
    return text if text.isprintable() else "".join(map(_harmless_char, text))


def harmless_entry(text: str) -> str:
    """Return an entry of a log of one or more lines, none of which can be taken for another entry."""
    return f"\n{CONTINUED}".join(map(harmless, text.rstrip("\n").split("\n")))


def harmless_json(text: str) -> str:
    """Return JSON of the same value whose strings hold such characters as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def _harmless_char(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char in _BLANKS else "�"


def _escaped(char: str) -> str:
    # JSON lets DEL stand.
    return "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]
