"""Texts and keys that are odd in JSON, in UTF-8, in SQL or to a reader, and as long as a bound."""

from random import Random
from typing import Final

#: Odd in JSON, in UTF-8, in SQL or to a reader; NUL and half a surrogate are refused by Postgres.
ODD_TEXTS: Final = (
    "", " ", 'quote " and \\', "line\nbreak\r\t", "\x01\x1f\x7f\x80", "\0", "\ud800 half", "é",
    "🚀👩\u200d🚀", "\u2028\ufeff", "'; --", "$.a ? (@ > 1)", "%s %(a)s :b", "{}", "null", "…", "\\u0000",
)  # fmt: skip
_CHARS: Final = ("x", "é", "🚀", '"', "\\", "\x02", "\n", " ")
#: About the bounds of what is shown whole, cut, or kept of an entry or a value.
_LENGTHS: Final = (
    40, 60, 250, 400, 800, 1_000, 1_100, 1_500, 1_600, 1_605, 1_900, 2_055, 2_060, 3_300, 3_900, 9_000,
)  # fmt: skip

NAMES: Final = (
    *(f"key {number}" for number in range(30)), *ODD_TEXTS, "id", "timestamp", "status", "truncated", "value",
    "last_progress_update", "progress_data", "progress_snapshot", "resume_data", "pause_reason",
    "k" * 79, "k" * 81, "é" * 40, "\x02" * 14,
)  # fmt: skip


def long_text(random: Random) -> str:
    """Return a text whose length in bytes, as JSON prints it, is about a bound."""
    char = random.choice(_CHARS)
    size = len(char.encode()) if char.isprintable() and char not in '"\\' else 2 if char in '"\\\n' else 6
    return char * (random.choice(_LENGTHS) // size + random.randrange(-2, 3))
