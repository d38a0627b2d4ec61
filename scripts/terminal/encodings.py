"""Output that is closed, or in an encoding that lacks a character, and never an error."""

import codecs
import io
import os
import sys
from pathlib import Path
from typing import Final

#: What our marks become where the encoding lacks them.
_PLAIN_MARKS: Final = {
    "✔": "+", "✘": "x", "•": "*", "▶": ">", "⏸": "=", "→": "->", "…": "...", "�": "?",
    # Bars, which keep their width.
    **dict.fromkeys("▏▎▍▌", " "), **dict.fromkeys("▋▊▉█", "#"),
}  # fmt: skip


def open_what_is_closed() -> None:
    """Let stdin, stdout and stderr lead nowhere where whoever started us has closed them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  for good


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
