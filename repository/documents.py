"""Documents that Postgres keeps whole: JSON of what a caller passes, nothing cut and nothing masked."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, NoReturn
from uuid import UUID

from typing_extensions import override

from masterflow.domain import InputInvalid
from masterflow.domain.payload.plain import plain

#: Deeper than people write and Python's own reader of JSON goes safely.
_MAX_DEPTH: Final = 500
#: Python reads numbers of at most 4,300 digits.
_MAX_INT_BITS: Final = 14_000

_MAX_PATH_CHARS: Final = 200
_TEXT: Final = {str}
_PLAIN_NUMBERS: Final = 1e16
#: What is text in JSON and means the same there.
_TEXTUAL: Final = (str, UUID, PurePath, Decimal, date, time, BaseException)


def document_text(value: object) -> str:
    """Return any mapping, model or list as JSON text that `jsonb` takes, for readers of JSON.

    What JSON does not know takes the form that such readers expect: a time ISO text, a set a list, NaN null;
    text loses what no database stores. What has no such form is refused with its path (`InputInvalid`).
    """
    return json.dumps(_Document().whole(value), allow_nan=False, ensure_ascii=False)


def document_of(value: object) -> dict[Any, Any]:
    """Return a mapping, model or dataclass as a dict.

    Raises:
        InputInvalid: it is none of them.
    """
    held = dict(value.items()) if isinstance(value, Mapping) else plain(value)
    if not isinstance(held, dict):
        raise InputInvalid(f"A document is a mapping of names to values, not {held!r:.80}; pass a dict.")
    return held


def is_storable(text: str) -> bool:
    """Tell whether Postgres stores a text as it is: it has neither NUL nor a lone surrogate."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_plain(value: Any) -> bool:
    """Tell quickly of nearly everything that documents are made of that it is JSON as it stands."""
    kind: type = type(value)
    if kind is str:
        return bool(value.isascii() and "\0" not in value)
    if kind is int or kind is float:
        return bool(0 < value < _PLAIN_NUMBERS or -_PLAIN_NUMBERS < value < 0)
    return value is None or kind is bool


class Walk(ABC):
    """A walk through a document that knows where it is; it turns each value into JSON or refuses it."""

    def __init__(self) -> None:
        self.path: list[str | int] = []
        self._open: set[int] = set()
        self._known_keys: set[str] = set()

    @abstractmethod
    def form(self, value: Any) -> Any:
        """Return the JSON of one value, of which the items of a list or dict are still to be walked."""

    def whole(self, value: object) -> Any:
        """Return a document as JSON.

        Raises:
            InputInvalid: something in it has no place in JSON.
        """
        try:
            return self.walk(value)
        except RecursionError as error:
            raise InputInvalid(
                "The document is nested too deeply for where it is saved; call from nearer the top."
            ) from error

    def walk(self, value: object) -> Any:
        """Return a value as JSON, with all that it holds."""
        form = self.form(value)
        kind = type(form)
        if kind is not dict and kind is not list:
            return form
        self._enter(value)
        walked = form.copy()
        for key, item in form.items() if kind is dict else enumerate(form):
            if not is_plain(item):
                self.path.append(key)
                walked[key] = self.walk(item)
                self.path.pop()
        self._open.discard(id(value))
        return walked

    def has_plain_keys(self, mapping: Mapping[Any, Any]) -> bool:
        """Tell of any mapping whether its keys are text to be left as it is; that of rows alike is quick."""
        if not self._known_keys.issuperset(mapping):
            if not all(type(key) is str and is_storable(key) for key in mapping):
                return False
            self._known_keys.update(mapping)
        return set(map(type, mapping)) <= _TEXT

    def integer(self, value: int) -> int:
        """Return a number that Python reads again."""
        if value.bit_length() > _MAX_INT_BITS:
            self.refuse("is a number of more than 4,200 digits, which Python does not read again; pass text")
        return value

    def refuse(self, finding: str) -> NoReturn:
        """Say what is wrong with the value at hand, and where it is.

        Raises:
            InputInvalid: always.
        """
        raise InputInvalid(f"{path_text(self.path)} {finding}.")

    def _enter(self, value: object) -> None:
        if id(value) in self._open:
            self.refuse("is held by itself; pass a document without circles")
        if len(self.path) >= _MAX_DEPTH:
            self.refuse(f"is nested deeper than {_MAX_DEPTH} levels; pass a flatter document")
        self._open.add(id(value))


def path_text(path: Sequence[str | int]) -> str:
    """Return a path such as `$.a.b[3]`, shortened in its middle."""
    text = "$"
    for key in path:
        if isinstance(key, str):
            text += f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"
        else:
            text += f"[{key}]"
    if len(text) > _MAX_PATH_CHARS:
        text = f"{text[: _MAX_PATH_CHARS // 2]}…{text[-_MAX_PATH_CHARS // 2 :]}"
    return text


class _Document(Walk):
    """The walk for readers of JSON, who are no Python programs."""

    @override
    def form(self, value: Any) -> Any:
        if type(value) is list:
            return value
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, str):
            return _stored(value)
        if isinstance(value, int | float):
            return self._number(value)
        if isinstance(value, datetime) and value.tzinfo is None:
            return value.isoformat()
        held = value if isinstance(value, Mapping) else plain(value)
        if isinstance(held, str) and not isinstance(value, _TEXTUAL):
            is_bytes = isinstance(value, bytes | bytearray | memoryview)
            stand_in = "text, such as base64" if is_bytes else "what it is made of"
            self.refuse(f"is a {type(value).__name__}, which JSON does not know; pass {stand_in}")
        return self._keys(held) if isinstance(held, Mapping) else held

    def _number(self, value: float) -> float | None:
        return self.integer(value) if isinstance(value, int) else value if math.isfinite(value) else None

    def _keys(self, mapping: Mapping[Any, Any]) -> dict[str, Any]:
        if self.has_plain_keys(mapping):
            return dict(mapping.items())
        named: dict[str, Any] = {}
        for key, item in mapping.items():
            name = _stored(str(plain(key)))
            if name in named:
                self.refuse(f"has two keys that are both {name!r:.80} in JSON; rename one")
            named[name] = item
        return named


def _stored(text: str) -> str:
    return text if is_storable(text) else text.replace("\0", "").encode(errors="ignore").decode()
