"""Values that Postgres holds and Python or JSON cannot: read as far as they go, marked where they are cut."""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import DataError
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.types.datetime import TimestamptzLoader
from typing_extensions import override

#: What stands for times that Python has no value for, infinity among them; no row was written then.
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)

#: More than any document of ours has, and less than what serializers give up at.
_MOST_LEVELS: Final = 100

# A number of more digits may be beyond a double, and one of 4,301 is beyond what Python reads.
_MOST_DIGITS: Final = 300
_SHOWN_DIGITS: Final = 30

_AS_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER: Final = b"0" * _MOST_DIGITS
_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{\]}]')


def register_loaders(adapters: AdaptersMap) -> None:
    """Let connections with these adapters read every value that Postgres holds, and raise for none."""
    adapters.register_loader("json", JsonLoader)
    adapters.register_loader("jsonb", JsonbLoader)
    adapters.register_loader("timestamptz", TimeLoader)


def read_json(data: bytes) -> Any:
    """Return what JSON text holds.

    A number that no double can hold becomes text that begins with its digits and says how many there are;
    what is nested deeper than 100 levels becomes `"…[nested deeper]"`; half of a character becomes `?`.
    """
    text = data.decode(errors="replace")
    try:
        value = _load(text) if not _is_deep(data) else _load(_shallow(text))
    except RecursionError:
        value = _load(_shallow(text))
    # Only what is escaped can be half of a character.
    return _whole_characters(value) if "\\u" in text else value


class JsonLoader(Loader):
    """Reads `json`, which keeps whatever was written there."""

    @override
    def load(self, data: Buffer) -> Any:
        """Return the value."""
        return read_json(bytes(data))


class JsonbLoader(Loader):
    """Reads `jsonb`, which has no exponents and no halves of characters, so that most of it needs no care."""

    @override
    def load(self, data: Buffer) -> Any:
        """Return the value."""
        text = bytes(data)
        if _LONG_NUMBER in text.translate(_AS_DIGITS) or _is_deep(text):
            return read_json(text)
        return json.loads(text)


class TimeLoader(Loader):
    """Reads a `timestamptz`; one that Python has no value for becomes the first or the last one it has."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._times = TimestamptzLoader(oid, context)

    @override
    def load(self, data: Buffer) -> datetime:
        """Return the time."""
        try:
            return self._times.load(data)
        except DataError:
            text = bytes(data)
            return EARLIEST if text.startswith(b"-") or text.endswith(b"BC") else LATEST


def known_time(at: datetime | None) -> datetime | None:
    """Return a time, or None where no calendar has it."""
    return None if at in {EARLIEST, LATEST} else at


def _load(text: str) -> Any:
    return json.loads(text, parse_int=_whole_number, parse_float=_fraction)


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else _marked(digits)


def _fraction(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else _marked(digits)


def _marked(digits: str) -> str:
    return f"{digits[:_SHOWN_DIGITS]}…[number of {len(digits)} digits]"


def _is_deep(text: bytes) -> bool:
    """Return whether a document may be nested too deeply: inner pairs of brackets are taken away in turn."""
    left = text.translate(None, _ALL_BUT_BRACKETS)
    # One turn takes at most two levels, and brackets inside of texts may leave some.
    for _ in range(_MOST_LEVELS // 2):
        if not left:
            return False
        left = left.replace(b"[]", b"").replace(b"{}", b"")
    return bool(left)


def _shallow(text: str) -> str:
    """Return the text of the same document without what is nested too deeply."""
    kept, begin, level = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            level += 1
            if level == _MOST_LEVELS + 1:
                kept.append(text[begin : token.start()])
        elif token[0] in "]}":
            if level == _MOST_LEVELS + 1:
                kept.append('"…[nested deeper]"')
                begin = token.end()
            level -= 1
    return "".join([*kept, text[begin:]])


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return [_whole_characters(item) for item in value] if isinstance(value, list) else value
