"""How many bytes a value takes inside `jsonb::text`: exactly or a little high, and for big values about."""

from itertools import islice
from json.encoder import encode_basestring
from typing import Any, Final

from masterflow.domain.payload.plain import LARGEST_NUMBER, SMALLEST_NUMBER

#: Between a key and its value, and after an item.
COLON_BYTES: Final = 2
COMMA_BYTES: Final = 2

#: Enough for any number, and for an empty container that says what was cut.
LEAST_BYTES: Final = 64

# Written out, as Postgres does, `1e-29` with 17 digits has so many.
_MAX_NUMBER_BYTES: Final = 50


def text_bytes(text: str) -> int:
    """Return the bytes of a text: in quotes, escaped like JSON, the rest as UTF-8."""
    quoted = encode_basestring(text)
    return len(quoted) if quoted.isascii() else len(quoted.encode())


def scalar_bytes(value: Any) -> int:
    """Return the bytes of a number, yes, no or null as it is printed; 0 of anything else."""
    kind = type(value)
    if kind is int:
        return len(repr(value)) if -LARGEST_NUMBER < value < LARGEST_NUMBER else 0
    if kind is float and (SMALLEST_NUMBER < abs(value) < LARGEST_NUMBER or value == 0):
        digits = repr(value)
        return _MAX_NUMBER_BYTES if "e" in digits else len(digits)
    return 5 if kind is bool or value is None else 0


def weight(value: Any, levels: int = 2) -> int:
    """Return about how many bytes a value takes, from a look at its first items."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) + 2
    if kind not in (dict, list, tuple):
        return scalar_bytes(value) or LEAST_BYTES
    items = list(islice(value.values() if kind is dict else value, 8 if levels else 0))
    seen = sum(weight(item, levels - 1) for item in items) // len(items) if items else LEAST_BYTES
    return 2 + (seen + (12 if kind is dict else COMMA_BYTES)) * len(value)
