"""A secret's name in a text, and what leads from it to its value."""

import re
from typing import Final, NamedTuple

from masterflow.domain.payload.secrets.names import Looks

#: Names of passwords, at the end of a name.
PASSWORDS: Final = re.compile(r"(?i)(?:pass(?:word|wd|phrase|code|wort)?|pwd|pw|kennwort|secret)s?$")


class Named(NamedTuple):
    """A name, and where it leads to."""

    name: str
    looks: Looks
    found: re.Match[str]
    #: Where it begins in the text.
    start: int
    #: How much was read of brackets behind the names before it.
    tokens_read: list[int]
    #: Whether it is the first word of its line.
    begins_line: bool
    #: Whether quotes or brackets close it.
    is_closed: bool


def words_before(text: str, named: Named) -> list[str]:
    """Return the last words of the line before a name's own last word; what is glued to it is the last."""
    end = named.start + named.name.rfind(" ") + 1
    line = text[max(0, end - 60) : end].rsplit("\n", 1)[-1]
    return line.split() + ([""] if line[-1:].isspace() or not line else [])
