"""Turn an object of any type into plain JSON, one level deep: a scalar, or a list or dict of its items."""

import dataclasses
import math
import re
from collections import deque
from collections.abc import Callable, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import NoneType
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from masterflow.domain.interruptions import pass_interruption
from masterflow.domain.payload.texts import cut_text

Plain = str | int | float | bool | list[Any] | dict[Any, Any] | None

#: Numbers beyond these become text: Postgres prints 1e300 as 301 digits.
LARGEST_NUMBER: Final = 10**30
SMALLEST_NUMBER: Final = 1e-30

_PLAIN_TYPES: Final = frozenset({str, int, float, bool, list, dict, NoneType})
_TOO_MANY_BITS: Final = 10_000
_TOO_MANY_TO_SORT: Final = 1_000
_TOO_MANY_BYTES: Final = 1_000_000
_SHORT_CHARS: Final = 200

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

# Immune to a metaclass that has a `__name__` of its own.
_name_of = type.__dict__["__name__"].__get__


def plain(value: object) -> Plain:
    """Return the plain form of a value of any type; what it holds is left as it is. Raises nothing.

    A model or dataclass becomes a dict, a set a sorted list, a number that JSON lacks None, and an object
    of unknown type a short text, never its attributes. Iterators are not consumed: they are the caller's.
    """
    try:
        form = _plain(value)
    except Exception as problem:  # noqa: BLE001  A stranger's __str__, __iter__ or property may raise anything.
        pass_interruption(problem)
        form = None if value is None else _unreadable(value)
    return form if type(form) in _PLAIN_TYPES else _unreadable(value)


def _unreadable(value: object) -> str:
    return f"[unreadable {_name_of(type(value))}]"


def _plain(value: object) -> Plain:
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.repr}
    return _numbers(value)


def _int(value: int) -> Plain:
    number = int.__int__(value)
    if -LARGEST_NUMBER < number < LARGEST_NUMBER:
        return number
    bits = number.bit_length()
    return _short(str(number)) if bits < _TOO_MANY_BITS else f"[int of {bits} bits]"


def _float(value: float) -> Plain:
    number = float.__float__(value)
    if not math.isfinite(number):
        return None
    return number if number == 0 or SMALLEST_NUMBER < abs(number) < LARGEST_NUMBER else repr(number)


def _decimal(value: Decimal) -> Plain:
    """Return the same number, as text where a float would not hold all its digits."""
    if not value.is_finite():
        return None
    number = float(value)
    return _float(number) if Decimal(repr(number)) == value else str(value)


def _exception(value: BaseException) -> str:
    text = str(value)
    return f"{type(value).__name__}: {text}" if text else type(value).__name__


def _datetime(value: datetime) -> str:
    at = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return at.isoformat(timespec="microseconds")


def _bytes(value: bytes | bytearray | memoryview) -> str:
    """Return bytes as text; what is no UTF-8 in them as question marks, and of a big block its size."""
    count = memoryview(value).nbytes
    return bytes(value).decode(errors="replace") if count <= _TOO_MANY_BYTES else f"[{count} bytes]"


def _model(value: BaseModel) -> dict[str, Any]:
    """Return the fields of a model, without those that it leaves out of its own dumps."""
    items = value.__dict__ | (value.__pydantic_extra__ or {})
    hidden = {name for name, field in type(value).model_fields.items() if field.exclude}
    return {name: item for name, item in items.items() if name not in hidden}


def _set(value: AbstractSet[Any]) -> list[Any]:
    """Return a set's items in the same order in every process, unless they are too many to sort."""
    return list(value) if len(value) > _TOO_MANY_TO_SORT else sorted(value, key=_set_order)


def _set_order(item: object) -> tuple[str, str]:
    return type(item).__name__, str(plain(item))


def _numbers(value: Any) -> Plain:
    """Return the numbers of an array of moderate size, or of a numpy scalar; describe anything else."""
    for name in ("tolist", "item"):
        if callable(getattr(type(value), name, None)) and getattr(value, "nbytes", 0) <= _TOO_MANY_BYTES:
            numbers = getattr(value, name)()
            if type(numbers) is not type(value):
                return plain(numbers)
    return _described(value)


def _described(value: Any) -> str:
    """Return the type, with the shape of a table, or what `str` says if the type has words of its own."""
    kind: Any = type(value)
    if hasattr(kind, "shape"):
        return _short(f"[{kind.__name__} of shape {value.shape}]")
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        return f"[{kind.__name__}]"
    return _short(f"[{kind.__name__}] {_ADDRESS.sub('', str(value))}")


def _short(text: str) -> str:
    return cut_text(text, window_chars=_SHORT_CHARS, fits=lambda cut: len(cut) <= _SHORT_CHARS)


# The first kind that fits counts: an Enum may be a str, a datetime is a date.
_FORMS: Final[tuple[tuple[Any, Callable[[Any], Plain]], ...]] = (
    (bool | None, lambda value: value),
    (Enum, lambda value: plain(value.value)),
    (str, str.__str__),
    (int, _int),
    (float, _float),
    (Mapping, lambda value: dict(value.items())),
    (list | tuple | deque | ValuesView, list),
    (AbstractSet, _set),
    (BaseModel, _model),
    (datetime, _datetime),
    (date | time, lambda value: value.isoformat()),
    (timedelta, timedelta.total_seconds),
    (Decimal, _decimal),
    (UUID | PurePath, str),
    (BaseException, _exception),
    (bytes | bytearray | memoryview, _bytes),
)
