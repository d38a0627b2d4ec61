"""Secrets that are known by their place: beside their name, or in a column of that name.

`{"name": "DB_PASSWORD", "value": …}`, `[("password", …), …]`,
`{"columns": ["user", "password"], "rows": [[…, …]]}`, `{"sql": "… password = %s", "params": [...]}`.
Only one level is looked at, and for tables the one below: whoever walks through a value calls this at each.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from masterflow.domain.payload.secrets.names import (
    MASK,
    is_likely,
    is_token_kind,
    names_tokens,
    secrecy,
    words_of,
)
from masterflow.domain.payload.secrets.words import hidden_words

# Keys, in small letters, under which a name stands, and under which its value does.
_NAMED: Final = words_of(
    """name key field variable var env header param parameter label id k n property attribute option setting
    column argument arg flag type envname varname fieldname secretname keyname title path prop entry attr"""
)
_VALUED: Final = words_of(
    """value values val v content contents data default text input string current new old newvalue oldvalue
    defaultvalue rawvalue plaintext before after actual expected got was to from answer body payload"""
)

# Beside these, `pass` is a password and no result.
_BESIDE_PASS: Final = words_of("user username login host email User Username")

# The members of a JSON Web Key that only its owner may know.
_KEY_MEMBERS: Final = ("k", "d", "p", "q", "dp", "dq", "qi", "oth")

# Of these, `_hidden_by_others` asks.
_TELLING_KEYS: Final = ("pass", "kty", "kind")

# What holds the values of a statement with places for them.
_BOUND: Final = words_of(
    "params parameters args arguments bindings binds bind values vars variables parameter_values"
)
_STATEMENT_PLACE: Final = re.compile(r"%s|\?|\$\d|:\w|%\(|@\w")

# A mapping of two or three keys that holds a name is taken for a pair, unless the others are about it.
_MOST_IN_A_PAIR: Final = 3
_ABOUT_NAMES: Final = words_of(
    """type kind required description desc help title label id path format unit phase status state count order
    position index created updated message msg error code reason size length min max null nullable optional
    enabled host user username email role scope owner source ref version url name key step agent tool note"""
)

_LEAST_TOKEN_CHARS: Final = 8
_MOST_ROWS: Final = 20_000
_MOST_NAME_CHARS: Final = 80


def hidden_in_map(source: Mapping[Any, Any]) -> dict[Any, Any] | None:
    """Return a mapping with its secrets masked that stand beside their name, or None if there are none."""
    changes: dict[Any, Any] = {}
    has_lists = has_bound = False
    for key, value in source.items():
        kind = type(value)
        is_told = kind in _CONTAINERS or (kind is str and len(value) <= _MOST_NAME_CHARS)
        if type(key) is not str or not is_told:
            has_lists = has_lists or kind in _LISTS
            continue
        role = _role_of(key) if len(key) <= _MOST_NAME_CHARS else _new_role(key)
        if kind is str:
            if role.names_others and secrecy(value):
                changes.update(_beside(source, key, value))
            continue
        has_lists = has_lists or kind in _LISTS
        has_bound = has_bound or role.holds_bound
        if role.holds_tokens and value:
            changes.update(_hidden_tokens(key, value) if kind is dict else _hidden_token_list(key, value))
    changes.update(_hidden_by_others(source))
    if has_lists:
        changes.update(_hidden_columns(source))
    if has_bound:
        changes.update(_hidden_parameters(source))
    return {**source, **changes} if changes else None


class _Role(NamedTuple):
    """What a key says of the value below it."""

    names_others: bool
    holds_tokens: bool
    holds_bound: bool


def _new_role(key: str) -> _Role:
    small = key.lower()
    return _Role(small in _NAMED, names_tokens(key), small in _BOUND)


#: The same few keys come again and again.
_role_of: Final = lru_cache(maxsize=2048)(_new_role)


def is_quiet_key(key: str) -> bool:
    """Tell whether `hidden_in_map` has nothing to do with a key, unless a list stands under it."""
    return not any(_new_role(key)) and key not in _TELLING_KEYS


def hidden_in_list(source: Sequence[Any]) -> list[Any] | None:
    """Return a list's items with their secrets masked, or None if there are none."""
    texts = {place: item for place, item in enumerate(source) if type(item) is str and item}
    if texts and (hidden := hidden_words(texts)):
        return [hidden.get(place, item) for place, item in enumerate(source)]
    if source and type(source[0]) in (list, tuple) and len(source) >= 2:
        return _hidden_rows(source)
    if type(source) is tuple and _is_pair(source) and _is_told(*source):
        return [source[0], MASK]
    if len(source) == 1 and _is_pair(source[0]) and _is_told(*source[0]):
        return [[source[0][0], MASK]]
    return None


def _beside(source: Mapping[Any, Any], named: str, name: str) -> Iterator[tuple[Any, str]]:
    """Yield what is to be masked in a mapping that holds this name."""
    looks = secrecy(name)
    if looks is None:
        return
    for key, value in source.items():
        if key == named or type(key) is not str or value is None or type(value) is bool or value == "":
            continue
        is_valued = (
            key.lower() in _VALUED
            or key.lower().endswith(("value", "val", "_data", "content"))
            or (len(source) <= _MOST_IN_A_PAIR and key.lower() not in _ABOUT_NAMES)
        )
        if is_valued and (type(value) not in (str, int, float) or looks(str(value))):
            yield key, MASK


def _hidden_by_others(source: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """Yield what other keys make a secret: `pass` beside a user, the data of a Kubernetes secret."""
    name = source.get("pass")
    if type(name) is str and name and not _BESIDE_PASS.isdisjoint(source):
        yield "pass", MASK
    if "kty" in source:
        yield from ((key, MASK) for key in _KEY_MEMBERS if source.get(key))
    if source.get("kind") == "Secret":
        yield from ((key, MASK) for key in ("data", "stringData") if source.get(key))


def _hidden_tokens(name: str, tokens: Mapping[Any, Any]) -> Iterator[tuple[Any, dict[Any, Any]]]:
    """Yield tokens by their kind with masks, if there are texts among them; counts of tokens stay."""
    hidden = {
        kind: MASK
        for kind, token in tokens.items()
        if type(kind) is str and type(token) is str and token and (is_token_kind(kind) or is_likely(token))
    }
    if hidden:
        yield name, {**tokens, **hidden}


def _hidden_token_list(name: str, tokens: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield a list of tokens masked, unless they are those of a text, some of which are short words."""
    if all(type(token) is str and is_long_token(token) for token in tokens):
        yield name, [MASK] * len(tokens)


def is_long_token(text: str) -> bool:
    """Tell whether a text in a list of tokens is one, and no word of a text."""
    return text == MASK or (len(text) >= _LEAST_TOKEN_CHARS and " " not in text) or is_likely(text)


def _hidden_columns(source: Mapping[Any, Any]) -> Iterator[tuple[Any, list[Any]]]:
    """Yield lists of rows, or one row, with masks in the columns whose names another list holds."""
    for header_key, header in source.items():
        places = _secret_columns(header)
        if not places:
            continue
        for key, value in source.items():
            if key == header_key or type(value) not in (list, tuple):
                continue
            if value and all(type(row) in (list, tuple) and len(row) == len(header) for row in value[:20]):
                yield key, _masked_rows(value, places)
            elif len(value) == len(header) and type(key) is str and key.lower() in _VALUED | _BOUND | {"row"}:
                yield key, _masked_row(value, places)


def _hidden_parameters(source: Mapping[Any, Any]) -> Iterator[tuple[Any, str]]:
    """Yield the values of a statement that has places for a secret's."""
    if any(type(value) is str and names_secret_place(value[:20_000]) for value in source.values()):
        for key, value in source.items():
            is_named = type(value) is dict and any(type(name) is str and secrecy(name) for name in value)
            is_bound = type(key) is str and key.lower() in _BOUND and type(value) in (list, tuple, dict)
            if is_bound and value and not is_named:
                yield key, MASK


_LISTS: Final = (list, tuple)
_CONTAINERS: Final = (*_LISTS, dict)
_FORMATTED: Final = re.compile(r"([A-Za-z][\w-]{1,40})[\"']?[ \t]*[:= ][ \t]*[\"']?(?:%[sr]|\{\w{0,20}\})")
_NAME_IN_STATEMENT: Final = re.compile(
    r"(?<![\w'])\w{0,30}(?i:pass|pwd|pw\b|secret|token|_?key\b|otp|pin\b)\w{0,30}"
)


def names_secret_place(statement: str) -> bool:
    """Tell whether a statement, or a text to be formatted, has places for values of secrets."""
    if any(secrecy(found[1]) for found in _FORMATTED.finditer(statement)):
        return True
    if not re.match(
        r"(?i)\s*(?:insert|update|select|delete|alter|create|call|exec|merge|replace|with|set)\b", statement
    ):
        return False
    return _STATEMENT_PLACE.search(statement) is not None and any(
        secrecy(found[0]) for found in _NAME_IN_STATEMENT.finditer(statement)
    )


def _secret_columns(header: object) -> list[int]:
    if type(header) not in (list, tuple) or not 2 <= len(header) <= 500:  # type: ignore[arg-type]
        return []
    items: Sequence[Any] = [_column_name(item) for item in header]  # type: ignore[attr-defined]
    if not all(type(item) is str and len(item) <= _MOST_NAME_CHARS for item in items):
        return []
    return [place for place, item in enumerate(items) if secrecy(item)]


def _column_name(item: object) -> object:
    """Return the name in a column's description; what describes none is left as it is."""
    if type(item) is dict:
        return next((item[key] for key in ("name", "key", "field", "id") if key in item), item)
    return item


def _masked_rows(rows: Sequence[Any], places: Iterable[int]) -> list[Any]:
    return [
        _masked_row(row, places) if type(row) in (list, tuple) else row for row in rows[:_MOST_ROWS]
    ] + list(rows[_MOST_ROWS:])


def _masked_row(row: Sequence[Any], places: Iterable[int]) -> list[Any]:
    masked = list(row)
    for place in places:
        if place < len(masked) and masked[place] is not None and type(masked[place]) is not bool:
            masked[place] = MASK
    return masked


def _is_pair(item: object) -> bool:
    return type(item) in (list, tuple) and len(item) == 2 and type(item[0]) in (str, bytes)  # type: ignore[arg-type, index]


def _hidden_rows(source: Sequence[Any]) -> list[Any] | None:
    """Return pairs with the values of secrets masked, or rows with those of their columns."""
    first = source[0]
    if places := _secret_columns(first):
        same = [type(row) in (list, tuple) and len(row) == len(first) for row in source[1:20]]
        is_pairs = len(first) == 2 and places == [0]
        if all(same) and not is_pairs:
            return [first, *_masked_rows(source[1:], places)]
    if all(_is_pair(item) for item in source[:20]):
        masked = [
            [item[0], MASK] if _is_pair(item) and _is_told(item[0], item[1]) else item
            for item in source[:_MOST_ROWS]
        ]
        if any(one is not other for one, other in zip(masked, source, strict=False)):
            return masked + list(source[_MOST_ROWS:])
    return None


def _is_told(name: str | bytes, value: object) -> bool:
    if isinstance(name, bytes):
        name = name[:_MOST_NAME_CHARS].decode("ascii", "replace")
    looks = secrecy(name) if len(name) <= _MOST_NAME_CHARS else None
    return (
        looks is not None
        and value is not None
        and type(value) is not bool
        and (type(value) not in (str, int, float) or looks(str(value)))
    )
