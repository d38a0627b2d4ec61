"""Text that can be stored: without what Postgres refuses, its secrets masked, cut with a note of how much."""

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from masterflow.domain.payload.masking import mask_text

# What Postgres cannot store: NUL, and surrogates without their other half.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

# So many characters past a cut are looked at too: a secret that lies across the cut is seen and masked.
_MARGIN_CHARS: Final = 256

_CUT_BEFORE = re.compile(r"…\[truncated (\d{1,12}) chars\]$")


def clean_text(text: str) -> str:
    """Return the text without what cannot be stored, its secrets masked; doing so again changes nothing."""
    if not text.isascii() or "\0" in text:
        text = _UNSTORABLE.sub("", text)
    return mask_text(text)


def truncation_note(count: int, unit: str) -> str:
    """Return what says that so many chars, items or keys were cut, in at most 40 bytes."""
    return f"…[truncated {count} {unit}]"


def cut_text(text: str, *, window_chars: int, fits: Callable[[str], bool]) -> str:
    """Return the clean text, or the longest beginning of it that fits together with its truncation note.

    Only about `window_chars` of it are looked at; nothing longer may fit. Cleaning or cutting the
    result again changes nothing, and a shorter cut of it adds up the counts.
    """
    if len(text) <= window_chars + _MARGIN_CHARS and fits(whole := clean_text(text)):
        return whole
    noted = _CUT_BEFORE.search(text, max(0, len(text) - 40))
    body, missing = (text[: noted.start()], int(noted[1])) if noted else (text, 0)
    seen = clean_text(body[: window_chars + _MARGIN_CHARS])
    if len(body) > window_chars + _MARGIN_CHARS:
        missing += len(body) - window_chars
        seen = seen[:-_MARGIN_CHARS]
    return _cut(seen, len(seen) + missing, fits)


def _cut(text: str, total_chars: int, fits: Callable[[str], bool]) -> str:
    def cut_at(end: int) -> str:
        return text[:end] + truncation_note(total_chars - end, "chars")

    end = bisect_left(range(len(text) + 1), 1, key=lambda place: 0 if fits(cut_at(place)) else 1) - 1
    # A cut can make a secret of what was none (`password=Nonesuch`): what is kept must be clean as it is.
    while end > 0 and clean_text(cut_at(end)) != cut_at(end):
        end = end * 3 // 4
    return cut_at(end) if end >= 0 else "…"
