"""What callers hand in, checked: phase names."""

from typing import Final

from masterflow.domain import InputInvalid

#: Width of `current_phase` in the child table.
_MAX_PHASE_CHARS: Final = 100


def phase_name(value: str) -> str:
    """Return a phase's name without the blanks around it.

    Raises:
        InputInvalid: it is empty, too long, or no text.
    """
    name = value.replace("\0", "").strip() if isinstance(value, str) else ""
    if not 0 < len(name) <= _MAX_PHASE_CHARS:
        raise InputInvalid(f"{value!r:.80} is no phase; pass a name of 1 to {_MAX_PHASE_CHARS} characters.")
    return name
