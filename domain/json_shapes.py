"""What a JSON value of unknown shape holds, if it is what was expected."""

from typing import Any, Final

# Beyond them a float is infinite, and a whole number of 400 digits raises where it becomes one.
_MOST: Final = 1e300


def as_map(value: object) -> dict[str, Any]:
    """Return an object as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list as it is, and anything else as an empty one."""
    return value if isinstance(value, list) else []


def number_of(value: object) -> float | None:
    """Return a finite number as a float, and None of anything else, `true` included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST < value < _MOST:
        return None
    return float(value)


def count_of(value: object) -> int:
    """Return a number of items: a list's length, a whole number as it is, else 0."""
    if isinstance(value, list):
        return len(value)
    number = number_of(value)
    return int(number) if number is not None and 0 < number < 1e12 else 0
