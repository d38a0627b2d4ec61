"""JSON as Postgres keeps and prints it: `jsonb::text`, to the byte."""

import json
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

#: Stands for SQL NULL, which is not JSON's null.
SQL_NULL = ...


def read_json(text: str) -> Any:
    """Return a value of which nothing is rounded."""
    return json.loads(text, parse_float=Decimal)


def json_text(value: Any) -> str:
    """Return what `value::text` prints."""
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json_text(key)}: {json_text(part)}" for key, part in pairs(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    if isinstance(value, float | Decimal):
        return _number_text(Decimal(repr(value)) if isinstance(value, float) else value)
    return json.dumps(value)


def json_bytes(value: Any) -> int:
    """Return `octet_length(value::text)`."""
    return len(json_text(value).encode())


def pairs(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the pairs of an object in the order in which Postgres keeps them: short keys first."""
    return sorted(value.items(), key=lambda pair: (len(pair[0].encode()), pair[0].encode()))


def as_text(value: Any) -> str | None:
    """Return what `->>` gives: text as it is, of null and of what is missing nothing."""
    return None if value is None else value if isinstance(value, str) else json_text(value)


def _number_text(number: Decimal) -> str:
    return format(abs(number) if number.is_zero() else number, "f")
