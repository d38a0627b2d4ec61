"""Documents that Postgres keeps whole: JSON text of what a caller passes, nothing cut and nothing masked."""

import json
import math
from collections.abc import Mapping
from typing import Any

from masterflow.domain import InputInvalid
from masterflow.domain.payload.plain import plain


def document_text(value: object) -> str:
    """Return any mapping, model or list as JSON text that `jsonb` takes; text loses what no database stores.

    What JSON does not know becomes its plain form: a time ISO text, a set a list, NaN null.

    Raises:
        InputInvalid: it holds itself, or is nested too deeply.
    """
    try:
        try:
            text = _encode(value)
        except (TypeError, ValueError):
            return _encode(_cleaned(value))
        return text if _is_storable(text) else _encode(_cleaned(value))
    except (RecursionError, ValueError) as error:
        raise InputInvalid("The document holds itself or is nested too deeply; pass a plain one.") from error


def document_of(value: object) -> dict[Any, Any]:
    """Return a mapping, model or dataclass as a dict.

    Raises:
        InputInvalid: it is none of them.
    """
    held = dict(value.items()) if isinstance(value, Mapping) else plain(value)
    if not isinstance(held, dict):
        raise InputInvalid(f"A document is a mapping of names to values, not {held!r:.80}; pass a dict.")
    return held


def _encode(value: object) -> str:
    return json.dumps(value, allow_nan=False, default=plain, ensure_ascii=False)


def _is_storable(text: str) -> bool:
    if "\\u0000" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cleaned(value: object) -> Any:
    """Return the same document without NUL, lone surrogates, NaN, infinities, and keys that are no text."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="ignore").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_cleaned(str(plain(key))): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    if value is None or isinstance(value, int):
        return value
    return _cleaned(plain(value))
