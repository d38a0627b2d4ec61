"""Output in an encoding that lacks a character: marks in ASCII, the rest as escapes, and never an error."""

import codecs
import io
import sys
from typing import Final

#: What our marks become where the encoding lacks them.
_PLAIN_MARKS: Final = {
    "✔": "+", "✘": "x", "•": "*", "▶": ">", "⏸": "=", "→": "->", "…": "...", "�": "?",
    # Bars, which keep their width.
    **dict.fromkeys("▏▎▍▌", " "), **dict.fromkeys("▋▊▉█", "#"),
}  # fmt: skip


def write_in_any_encoding() -> None:
    """Let stdout and stderr write what their encoding lacks: marks in ASCII, the rest as escapes."""
    codecs.register_error("plain_marks", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain_marks")


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        mark = _PLAIN_MARKS.get(error.object[error.start])
        if mark is not None:
            return mark, error.start + 1
    return codecs.backslashreplace_errors(error)
