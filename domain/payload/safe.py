"""Make what a caller passes small, safe JSON: plain, bounded in bytes, its secrets masked.

Done once at the entrance and again by the worker, so these functions leave their own results as they are.
What they cut says so: `"…[truncated 51234 chars]"`, a list `items`, an object `keys` (under `…`).
"""

from typing import Final

from pydantic import JsonValue

from masterflow.domain.errors import InputInvalid
from masterflow.domain.payload.fitting import fit, fit_map, written
from masterflow.domain.payload.plain import plain
from masterflow.domain.payload.sizes import text_bytes
from masterflow.domain.payload.texts import cut_text

_MAX_MAP_KEYS: Final = 100
_MAX_MAP_KEY_BYTES: Final = 80
_MAX_MAP_VALUE_BYTES: Final = 3_900
_MAX_MAP_BYTES: Final = 65_536


def safe_object(value: object, *, max_bytes: int) -> dict[str, JsonValue]:
    """Return any value as an object of at most `max_bytes` (at least 200) of `jsonb::text`; raises nothing.

    What is no object stands under the key `value`; None is the empty object.
    """
    source = value if type(value) is dict else plain(value)
    if not isinstance(source, dict):
        source = {} if value is None else {"value": value}
    fitted, _ = fit(source, max_bytes)
    return fitted if isinstance(fitted, dict) else {"value": fitted}


def safe_map(value: object) -> dict[str, JsonValue]:
    """Return what is merged key by key: at most 100 keys of 80 bytes, values of 3,900, and 64 KB in all.

    Raises:
        InputInvalid: the value is no mapping, model or dataclass.
    """
    source = value if type(value) is dict else plain(value)
    if not isinstance(source, dict):
        raise InputInvalid(f"A value of type {type(value).__name__} is no mapping; pass the values by name.")
    fitted, _ = fit_map(
        source,
        _MAX_MAP_BYTES,
        max_keys=_MAX_MAP_KEYS,
        max_key_bytes=_MAX_MAP_KEY_BYTES,
        max_value_bytes=_MAX_MAP_VALUE_BYTES,
    )
    return fitted if isinstance(fitted, dict) else {}


def safe_text(value: object, *, max_chars: int, max_bytes: int | None = None) -> str:
    """Return any value as text of at most `max_chars` (at least 40); raises nothing.

    An exception becomes `KeyError: 'x'`, an object JSON, None the empty text. `max_bytes` bounds the text
    as it stands in a row: a character there takes up to 6 bytes.
    """
    text = "" if value is None else value if type(value) is str else written(value, max_chars)
    most_bytes = 6 * max_chars + 2 if max_bytes is None else max_bytes
    return cut_text(
        text, window_chars=max_chars, fits=lambda cut: len(cut) <= max_chars and text_bytes(cut) <= most_bytes
    )
