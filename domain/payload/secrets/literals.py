"""Secrets known by their place in a text that holds JSON, a Python `repr` or their like, also one cut off."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple

from masterflow.domain.payload.secrets.names import MASK, is_anything, is_no_number, secrecy
from masterflow.domain.payload.secrets.places import hidden_in_list, hidden_in_map


class Edit(NamedTuple):
    """What is to stand in place of a stretch of a text."""

    start: int
    end: int
    replacement: str = MASK


#: Where a value stands: a scalar's start and end, else the places of its items.
Place = tuple[int, int] | list[Any] | dict[str, Any]


class Literal(NamedTuple):
    """A value in brackets, with all its scalars as text, and where it stands."""

    value: Any
    place: Any
    end: int
    token_count: int


_TOKEN: Final = re.compile(
    r"""(?xs)
      (?P<mask>\[masked\])
    | (?:[brufBRUF]{1,2}(?=["']))?(?:"(?P<double>(?:[^"\\]|\\.)*+)"|'(?P<single>(?:[^'\\]|\\.|'')*+)')
    | (?P<open>[\[({]) | (?P<close>[\])}]) | (?P<comma>[,;]) | (?P<colon>:|=>|=) | (?P<stray>["'])
    | (?P<bare>[^\s\[\](){}:,;"'=]++)"""
)
_OPENING: Final = re.compile(r"[({]|\[(?!masked\])")
_WORDS: Final = {"none": None, "null": None, "nil": None, "true": True, "false": False}

# All that is looked at in one text: 4,000 tokens take a few milliseconds.
_MOST_TOKENS: Final = 4_000
_MOST_STARTS: Final = 40
_MOST_DEPTH: Final = 12


@dataclass(slots=True)
class _Open:
    """A bracket whose other half has not come yet."""

    pairs: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    items: list[tuple[Any, Any]] = field(default_factory=list)
    key: str | None = None
    current: tuple[Any, Any] | None = None

    def take(self, value: Any, place: Any, text: str = "") -> None:
        """Take a value in; bare words one after another are one."""
        if self.current is not None and text and type(self.current[0]) is str:
            place = self.current[1][0], place[1]
            value = text[place[0] : place[1]]
        self.current = value, place

    def flush(self) -> None:
        """Close the value that has ended."""
        if self.current is not None:
            if self.key is None:
                self.items.append(self.current)
            else:
                self.pairs[self.key] = self.current
        self.key = self.current = None

    def closed(self) -> tuple[Any, Any]:
        """Return what the brackets held."""
        self.flush()
        if self.pairs:
            return (
                {key: value for key, (value, _) in self.pairs.items()},
                {key: place for key, (_, place) in self.pairs.items()},
            )
        return [value for value, _ in self.items], [place for _, place in self.items]


class _Reader:
    """Reads what brackets hold, token by token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._opened: list[_Open] = []
        #: What the outermost brackets held, once they are closed.
        self.value: tuple[Any, Any] | None = None

    def read(self, token: re.Match[str]) -> bool:
        """Take a token in; return whether to go on."""
        kind = token.lastgroup
        if kind == "open":
            self._opened.append(_Open())
        elif kind == "stray" or not self._opened:
            return False
        elif kind == "close":
            self._close()
        else:
            self._add(token, str(kind))
        return self.value is None and len(self._opened) <= _MOST_DEPTH

    def finish(self) -> tuple[Any, Any]:
        """Return what was read, as if all brackets were closed here."""
        while self._opened:
            self._close()
        return self.value or ([], [])

    def _close(self) -> None:
        value = self._opened.pop().closed()
        if self._opened:
            self._opened[-1].current = value
        else:
            self.value = value

    def _add(self, token: re.Match[str], kind: str) -> None:
        here = self._opened[-1]
        if kind == "comma":
            here.flush()
        elif kind == "colon":
            if here.current is not None and type(here.current[0]) is str:
                here.key, here.current = here.current[0], None
        elif kind == "bare":
            here.take(_WORDS.get(token[0].lower(), token[0]), token.span(), self._text)
        else:
            here.current = token[kind], token.span(kind)


def read_literal(text: str, start: int, most_tokens: int = _MOST_TOKENS) -> Literal:
    """Return what the brackets at `start` hold; where the text ends or is no literal, they are closed."""
    reader = _Reader(text)
    count, end = 0, start
    for token in islice(_TOKEN.finditer(text, start), most_tokens):
        count, end = count + 1, token.end()
        if not reader.read(token):
            break
    return Literal(*reader.finish(), end, count)


def edits_in_literals(text: str) -> list[Edit]:
    """Return what is to be masked in all brackets of a text, in order."""
    edits: list[Edit] = []
    tokens = _MOST_TOKENS
    found = _OPENING.search(text)
    for _ in range(_MOST_STARTS):
        if found is None or tokens <= 0:
            break
        literal = read_literal(text, found.start(), tokens)
        tokens -= literal.token_count
        edits += _edits(literal.value, literal.place)
        found = _OPENING.search(text, max(literal.end, found.end()))
    return sorted(set(edits))


def edits_of_all(value: Any, place: Any) -> Iterator[Edit]:
    """Yield what masks every scalar of a value."""
    if type(value) is dict:
        for key, item in value.items():
            yield from edits_of_all(item, place[key])
    elif type(value) is list:
        for item, where in zip(value, place, strict=True):
            yield from edits_of_all(item, where)
    elif type(value) is str and value and value != MASK:
        yield Edit(*place)


def apply_edits(text: str, edits: list[Edit]) -> str:
    """Return the text with its stretches replaced; of two that overlap the first counts."""
    pieces: list[str] = []
    done = 0
    for edit in edits:
        if edit.start >= done:
            pieces += text[done : edit.start], edit.replacement
            done = edit.end
    return "".join(pieces) + text[done:] if pieces else text


def _edits(value: Any, place: Any) -> Iterator[Edit]:
    if type(value) is dict:
        hidden = hidden_in_map(value) or value
        for key, item in value.items():
            yield from _changed(hidden[key], item, place[key])
            if type(item) in (dict, list) and secrecy(key) in (is_anything, is_no_number):
                yield from edits_of_all(item, place[key])
    elif type(value) is list:
        hidden_list = hidden_in_list(value) or value
        for new, item, where in zip(hidden_list, value, place, strict=True):
            yield from _changed(new, item, where)


def _changed(new: Any, old: Any, place: Any) -> Iterator[Edit]:
    if new == MASK:
        yield from edits_of_all(old, place)
    elif type(new) is str and new != old:
        start, end = place
        yield Edit(start, end, new)
    elif type(new) is list and type(old) is list and new is not old:
        for one, other, where in zip(new, old, place, strict=True):
            yield from _changed(one, other, where)
    elif type(new) is dict and type(old) is dict and new is not old:
        for key, one in new.items():
            yield from _changed(one, old[key], place[key])
    elif type(old) in (dict, list):
        yield from _edits(old, place)
