"""Secrets in command lines: behind an option, or in the place that a command has for a password."""

import re
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import MASK
from masterflow.domain.payload.secrets.said import is_said_of
from masterflow.domain.payload.secrets.stores import STORING, hidden_in_store
from masterflow.domain.payload.secrets.words import COMMANDS, hidden_words

_PLAIN: Final = COMMANDS - {"net", "http", "https"}
_COMMAND: Final = re.compile(
    rf"(?<![\w.-])(?:net(?= user)|https?(?= )|{'|'.join(sorted(map(re.escape, _PLAIN), reverse=True))})"
    r"(?:\.exe)?(?=[\s\"',])"
)
# One of these stands in each of them: to look for them costs a tenth.
_LEAST_PLAIN_CHARS: Final = 5
_COMMAND_WORDS: Final = (
    "net user",
    *sorted(name for name in COMMANDS if len(name) >= _LEAST_PLAIN_CHARS),
    *(
        f"{name}{end}"
        for name in sorted(COMMANDS - {"net"})
        if len(name) < _LEAST_PLAIN_CHARS
        for end in " '\""
    ),
)
_ARGUMENT: Final = re.compile(r"""(?P<double>"(?:[^"\\\n]|\\.)*")|(?P<single>'[^'\n]*')|[^\s"']+""")
_COMMAND_CHARS: Final = 600
_ACL_PASSWORD: Final = re.compile(r"(?i)\bACL SETUSER [^\n]{0,200}?[ \"'][><](?P<value>[^\s\"']+)")
_REDIS_AUTH: Final = re.compile(
    r"(?:^|[>:\n] ?)AUTH (?:[\w-]{1,60} )?(?P<value>(?!\[masked|\()[^\s]+)[ \t]*(?:\r?\n|$)"
)
_NET_USE: Final = re.compile(
    r"(?i)net\s+use\s(?:[^\n]{0,200}?/user:\S+\s+|(?:\S{1,60}\s+)?\\\\\S+\s+)(?P<value>[^\s/*]\S*)"
)


def _words_of(text: str, start: int, end: int) -> tuple[dict[int, str], list[tuple[int, int]]]:
    """Return the words of the line that begins here, and where they stand."""
    line = text[start : min(end, start + _COMMAND_CHARS)].split("\n", 1)[0]
    words, spans = [], []
    for argument in _ARGUMENT.finditer(line):
        inset = 1 if argument["double"] or argument["single"] else 0
        words.append(argument[0][inset : len(argument[0]) - inset])
        spans.append((start + argument.start() + inset, start + argument.end() - inset))
    return {place: word for place, word in enumerate(words) if word}, spans


def _hidden_in_store(words: dict[int, str]) -> dict[int, str]:
    return dict(hidden_in_store(words))


def edits_in_commands(text: str) -> list[Edit]:
    """Return what is to be masked in command lines."""
    edits: list[Edit] = []
    commands = _COMMAND if any(word in text for word in _COMMAND_WORDS) else None
    for pattern, hide in ((commands, hidden_words), (STORING, _hidden_in_store)):
        starts = [found.start() for found in pattern.finditer(text)] if pattern else []
        for start, end in zip(starts, [*starts[1:], len(text)], strict=False):
            words, spans = _words_of(text, start, end)
            edits += [Edit(*spans[place], new) for place, new in hide(words).items() if new != words[place]]
    for pattern in (_NET_USE, _ACL_PASSWORD, _REDIS_AUTH):
        edits += [
            Edit(*used.span("value")) for used in pattern.finditer(text) if not is_said_of(used["value"])
        ]
    return sorted({edit for edit in edits if text[edit.start : edit.end] != MASK})
