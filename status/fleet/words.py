"""Rates and changes of a fleet in the words of all readers."""

from typing import Final

#: What takes so many times as long as before is shown as slower than usual.
SLOWER: Final = 1.5


def rate(share: float | None) -> str:
    """Return a share in percent; nothing where there is none."""
    if share is None:
        return ""
    return f"{share * 100:.1f} %" if 0 < share < 0.1 else f"{share * 100:.0f} %"


def change(times: float | None) -> str:
    """Return how many times as long as before something takes; nothing where that is not known."""
    return "" if times is None else f"{times:.1f} times as long"
