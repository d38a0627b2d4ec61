"""What callers hand in, checked: phase names."""

from typing import Final

from masterflow.domain import InputInvalid
from masterflow.domain.payload.safe import safe_text

#: Width of `current_phase` in the child table.
_MAX_PHASE_CHARS: Final = 100


def phase_name(value: str) -> str:
    """Return a phase's name without the blanks around it, cut if it is too long.

    Raises:
        InputInvalid: it is empty, or no text.
    """
    name = (
        safe_text(value.replace("\0", "").strip(), max_chars=_MAX_PHASE_CHARS)
        if isinstance(value, str)
        else ""
    )
    if not name:
        raise InputInvalid(f"{value!r:.80} is no phase; pass a name of 1 to {_MAX_PHASE_CHARS} characters.")
    return name
