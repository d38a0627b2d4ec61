"""How long to wait before the next try, by one rule for all who try again."""


def pause_s(failures: int, *, first_s: float, longest_s: float) -> float:
    """Return the seconds to wait after one or more failures in a row: doubled each time, bounded."""
    return min(longest_s, first_s * 2.0 ** min(failures - 1, 60))
