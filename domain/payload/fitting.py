"""Fit any value into a number of bytes: plain, masked, whole if there is room, else cut fairly.

Bytes are those of `octet_length(jsonb::text)`, counted a little high. The work is bounded by the room,
whatever the size of the value.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from json import dumps
from typing import Any, Final

from pydantic import JsonValue

from masterflow.domain.payload.masking import may_hold_secret
from masterflow.domain.payload.plain import plain
from masterflow.domain.payload.secrets.names import MASK, Looks, is_anything, is_no_number, secrecy
from masterflow.domain.payload.secrets.places import hidden_in_list, hidden_in_map, is_quiet_key
from masterflow.domain.payload.sizes import (
    COLON_BYTES,
    COMMA_BYTES,
    LEAST_BYTES,
    scalar_bytes,
    text_bytes,
    weight,
)
from masterflow.domain.payload.texts import clean_text, cut_text, truncation_note

#: The ids of the containers around a value.
Path = tuple[int, ...]

#: A JSON value and its bytes.
Fitted = tuple[JsonValue, int]

_MAX_DEPTH: Final = 8
_MAX_KEY_BYTES: Final = 200

# The words that tell whether a key names a secret are its last ones.
_TELLING_CHARS: Final = 80

# What an item of a cut list is given at least: a few items that say something, not many stubs.
_LEAST_ITEM_BYTES: Final = 256

# Where keys were left out of an object, this key says so.
_CUT_KEY: Final = "…"
_NOTE_BYTES: Final = 44

_STACK_IS_FULL: Final[Fitted] = ("…[the stack is full]", 24)


class _TooBig(Exception):
    """A value does not fit into its room as it is."""


def fit(value: object, room: int, path: Path = ()) -> Fitted:
    """Return the plain form of a value in at most `room` bytes (64 or more), and its bytes."""
    try:
        return _copy_or_cut(value, room, path)
    except RecursionError:
        return _STACK_IS_FULL


def fit_map(
    source: Mapping[Any, Any], room: int, *, max_keys: int, max_key_bytes: int, max_value_bytes: int
) -> Fitted:
    """Return an object whose keys and values are bounded one by one too, and its bytes."""
    most_keys = max_keys if len(source) <= max_keys else max_keys - 1
    children, left = _pick(source, room, most_keys=most_keys, max_key_bytes=max_key_bytes)
    path = (id(source),)
    fitted: Sequence[Fitted | None] = [fit(child, max_value_bytes, path) for child in children.values()]
    if sum(size + COMMA_BYTES for _, size in filter(None, fitted)) > left:
        fitted = _share(list(children.values()), left, path, most_bytes=max_value_bytes)
    return _join(children, fitted, total=len(source))


def written(value: object, max_bytes: int) -> str:
    """Return a value as text: text as it is, anything else as JSON of at most so many bytes."""
    form = value if type(value) is str else plain(value)
    if not isinstance(form, str):
        form, _ = fit(form, max(max_bytes, LEAST_BYTES))
    return form if isinstance(form, str) else dumps(form, ensure_ascii=False)


def _copy_or_cut(value: object, room: int, path: Path) -> Fitted:
    try:
        return _copy(value, room, path)
    except _TooBig:
        return _cut(value, room, path)


def _copy(value: Any, room: int, path: Path) -> Fitted:
    """Return the plain form of a value and its bytes.

    Raises:
        _TooBig: these are more than `room`; found out without looking at the rest.
    """
    kind = type(value)
    if kind is str:
        if len(value) > room:
            raise _TooBig
        if not value.isascii() or "\0" in value or may_hold_secret(value):
            value = clean_text(value)
        size = text_bytes(value)
    elif kind is dict:
        return _copy_object(value, room, path)
    elif kind is list or kind is tuple:
        return _copy_list(value, room, path)
    elif not (size := scalar_bytes(value)):
        return _copy(plain(value), room, path)
    if size > room:
        raise _TooBig
    return value, size


def _copy_object(source: dict[Any, Any], room: int, path: Path) -> Fitted:
    if len(path) >= _MAX_DEPTH or id(source) in path:
        return _place_note(source, path)
    if len(source) > room:
        raise _TooBig
    path = (*path, id(source))
    source = source.copy()  # In one step: another thread may change the caller's meanwhile.
    return _copy_quiet(source, room, path) or _copy_pairs(hidden_in_map(source) or source, room, path)


def _copy_quiet(source: dict[Any, Any], room: int, path: Path) -> Fitted | None:
    """Return what `_copy_pairs` would; None where one value may say that another one is a secret.

    Raises:
        _TooBig: it is more than `room`.
    """
    copy: dict[str, JsonValue] = {}
    left = room - 2
    is_too_big = False
    for key, item in source.items():
        if type(key) is not str or len(key) > _MAX_KEY_BYTES or type(item) is list or type(item) is tuple:
            return None
        name, name_bytes, is_quiet = _fit_quiet_key(key)
        if not is_quiet:
            return None
        if is_too_big:
            continue  # A key that is still to come may say that what takes so much is a secret.
        left -= name_bytes
        try:
            copy[name], size = _copy(item, left, path)
            left -= size
        except _TooBig:
            is_too_big = True
    if is_too_big or left < 0:
        raise _TooBig
    return (copy, room - left) if len(copy) == len(source) else None


def _copy_pairs(source: Mapping[Any, Any], room: int, path: Path) -> Fitted:
    copy: dict[str, JsonValue] = {}
    left = room - 2
    for key, item in source.items():
        is_short = type(key) is str and len(key) <= _MAX_KEY_BYTES
        name, name_bytes, looks = _fit_known_key(key) if is_short else _fit_key(key)
        left -= name_bytes + COLON_BYTES + COMMA_BYTES
        copy[name], size = _copy(_hidden(item, looks) if looks else item, left, path)
        left -= size
    if len(copy) < len(source):
        left -= _note_keys(copy, total=len(source))
    if left < 0:
        raise _TooBig
    return copy, room - left


def _copy_list(source: Sequence[Any], room: int, path: Path) -> Fitted:
    if len(path) >= _MAX_DEPTH or id(source) in path:
        return _place_note(source, path)
    path = (*path, id(source))
    copy = []
    left = room - 2
    if len(source) > room:
        raise _TooBig
    source = hidden_in_list(source) or source
    for item in source:
        child, size = _copy(item, left, path)
        copy.append(child)
        left -= size + COMMA_BYTES
    if left < 0:
        raise _TooBig
    return copy, room - left


def _cut(value: Any, room: int, path: Path) -> Fitted:
    form = value if type(value) in (str, dict, list, tuple) else plain(value)
    path = (*path, id(value))
    match form:
        case dict():
            children, left = _pick(form, room)
            return _join(children, _share(list(children.values()), left, path), total=len(form))
        case list() | tuple():
            return _cut_list(form, room, path)
    return _note(cut_text(str(form), window_chars=room, fits=lambda cut: text_bytes(cut) <= room))


def _cut_list(source: Sequence[Any], room: int, path: Path) -> Fitted:
    """Keep the first items, as many as have room to say something, and note how many are left out."""
    left = wanted = room - 2 - _NOTE_BYTES
    items = []
    for item in islice(hidden_in_list(source[:left]) or source, left):
        wanted -= min(weight(item), _LEAST_ITEM_BYTES) + COMMA_BYTES
        if wanted < 0:
            break
        items.append(item)
    kept = [child for child in _share(items, left, path) if child]
    if len(kept) < len(source):
        kept.append(_note(truncation_note(len(source) - len(kept), "items")))
    return [item for item, _ in kept], 2 + sum(size + COMMA_BYTES for _, size in kept)


def _pick(
    source: Mapping[Any, Any], room: int, *, most_keys: int | None = None, max_key_bytes: int = _MAX_KEY_BYTES
) -> tuple[dict[str, object], int]:
    """Return the first pairs of an object for which there is room, and the room left for their values."""
    left = wanted = room - 2 - _NOTE_BYTES
    children: dict[str, object] = {}
    first = dict(islice(source.items(), left if most_keys is None else most_keys))
    for key, item in (hidden_in_map(first) or first).items():
        is_short = type(key) is str and len(key) <= _MAX_KEY_BYTES
        name, name_bytes, looks = (_fit_known_key if is_short else _fit_key)(key, max_key_bytes)
        child = _hidden(item, looks) if looks else item
        wanted -= name_bytes + COLON_BYTES + COMMA_BYTES + min(weight(child), LEAST_BYTES)
        if wanted < 0:
            break
        left -= name_bytes + COLON_BYTES
        children[name] = child
    return children, left


def _share(
    children: Sequence[object], room: int, path: Path, *, most_bytes: int | None = None
) -> list[Fitted | None]:
    """Fit children into a common room: the small ones whole, the big ones in equal parts of what these leave.

    A child for which there is no room at all is None.
    """
    fitted: list[Fitted | None] = [None] * len(children)
    lightest_first = sorted(range(len(children)), key=lambda place: weight(children[place]))
    for waiting, place in zip(range(len(children), 0, -1), lightest_first, strict=True):
        part = min(room // waiting - COMMA_BYTES, most_bytes or room)
        child = fit(children[place], max(part, LEAST_BYTES), path)
        if child[1] + COMMA_BYTES <= room:
            fitted[place] = child
            room -= child[1] + COMMA_BYTES
    return fitted


def _join(children: Mapping[str, object], fitted: Sequence[Fitted | None], *, total: int) -> Fitted:
    """Return the object of the children that fitted, and its bytes; note how many of all keys are missing."""
    copy: dict[str, JsonValue] = {}
    size = 2
    for name, child in zip(children, fitted, strict=True):
        if child:
            copy[name] = child[0]
            size += text_bytes(name) + COLON_BYTES + child[1] + COMMA_BYTES
    if len(copy) < total:
        size += _note_keys(copy, total=total)
    return copy, size


def _fit_key(key: object, max_bytes: int = _MAX_KEY_BYTES) -> tuple[str, int, Looks | None]:
    """Return any key as clean text, cut to fit; its bytes; and what tells whether its value is a secret."""
    text = written(key, _MAX_KEY_BYTES)
    name = cut_text(text, window_chars=max_bytes, fits=lambda cut: text_bytes(cut) <= max_bytes)
    looks = secrecy(text[-_TELLING_CHARS:]) or secrecy(name[-_TELLING_CHARS:])
    return name, text_bytes(name), looks


# The same few keys come again and again; to remember them spares most of the cost of an object.
_fit_known_key = lru_cache(maxsize=2048)(_fit_key)


@lru_cache(maxsize=2048)
def _fit_quiet_key(key: str) -> tuple[str, int, bool]:
    """Return it with the bytes that it takes in all, and whether it makes a secret of nothing."""
    name, name_bytes, looks = _fit_key(key)
    return name, name_bytes + COLON_BYTES + COMMA_BYTES, looks is None and is_quiet_key(key)


def _hidden(item: object, looks: Looks) -> object:
    """Return what stands in place of a secret; null, yes, no and the empty text give nothing away."""
    if item is None or type(item) is bool or (type(item) is str and not item):
        return item
    if looks is is_anything:
        return MASK
    form = plain(item)
    if isinstance(form, dict | list):
        is_one = looks is is_no_number or any(type(part) is str and looks(part) for part in islice(form, 20))
    else:
        is_one = looks(str(form))
    return MASK if is_one else item


def _place_note(source: object, path: Path) -> Fitted:
    return _note("…[cycle]" if id(source) in path else f"…[deeper than {_MAX_DEPTH} levels]")


def _note_keys(copy: dict[str, JsonValue], *, total: int) -> int:
    """Note how many of all keys are missing; return the bytes that the note adds."""
    copy[_CUT_KEY], size = _note(truncation_note(total - len(copy), "keys"))
    return text_bytes(_CUT_KEY) + COLON_BYTES + size + COMMA_BYTES


def _note(text: str) -> Fitted:
    return text, text_bytes(text)
