"""A flow's state as JSON that gives the same values back; what would come back changed is refused."""

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
from typing_extensions import override

from masterflow.domain import InputInvalid
from masterflow.repository.documents import Walk, document_of, is_storable

#: A flow's state as its owner holds it: a mapping or a pydantic model.
State = Mapping[str, Any] | BaseModel

#: Keys of `flow_persistence_data` that their own writers append to; they are no part of a state.
NOT_STATE: Final = ("checkpoints", "archived_states", "lifecycle_events")

#: Where a saved state says which of its values JSON knows by another type: `[["datetime", "rows", 3, "at"]]`.
#: Each type stands before the path to the value, what a value holds before the value, and a key that is no
#: text (`int key`) after all that it names.
TYPES_KEY: Final = "_state_types"

#: From here on Postgres gives a float back without its point, so as an integer.
_FIRST_POINTLESS_FLOAT: Final = 1e16

#: What Postgres takes in one document.
_MAX_JSONB_BYTES: Final = 268_435_455

_MICROSECOND: Final = timedelta(microseconds=1)

#: Type: what it is in JSON, which other readers of the column see.
_ENCODERS: Final[dict[type, Callable[[Any], Any]]] = {
    tuple: list,
    # In an order of its own, so that the same set is the same text.
    set: lambda items: sorted(items, key=repr),
    frozenset: lambda items: sorted(items, key=repr),
    bytes: lambda block: b64encode(block).decode(),
    Decimal: str,
    UUID: str,
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: lambda length: length // _MICROSECOND,
}

_DECODERS: Final[dict[str, Callable[[Any], Any]]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "bytes": lambda text: b64decode(text, validate=True),
    "Decimal": Decimal,
    "UUID": UUID,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda count: count * _MICROSECOND,
    "float": float,
    "int": int,
    "str": lambda text: text.encode("ascii").decode("unicode_escape"),
}

#: Types of keys that are text in JSON and come back; others are refused.
_KEYS: Final = (int, UUID, date)
_KEY: Final = " key"

#: What stands for a value of a type that does not come back; the first that fits counts.
_STAND_INS: Final[tuple[tuple[Any, str], ...]] = (
    (Enum, 'its value, or of a model its model_dump(mode="json")'),
    (BaseModel, "its model_dump()"),
    (Mapping, "a dict"),
    (datetime, "a time in UTC"),
    (str, "its text"),
    (PurePath, "its text"),
    (int | float, "a plain number"),
    ((list, tuple, set, frozenset), "a list"),
    ((bytearray, memoryview), "bytes"),
)


def state_document(state: State) -> dict[str, Any]:
    """Return a state as JSON from which `restored_state` makes the same one.

    Raises:
        InputInvalid: a value would come back as something else, or not at all; its path is named.
    """
    held = _held(state)
    for key in (*NOT_STATE, TYPES_KEY):
        if key in held:
            raise InputInvalid(
                f"$.{key} is a key of other writers, no part of a state; name yours otherwise."
            )
    return _Walk().document(held)


def state_text(state: State) -> str:
    """Return `state_document` as the text that `jsonb` takes.

    Raises:
        InputInvalid: it is too large for `jsonb`.
    """
    text = json.dumps(state_document(state), allow_nan=False, ensure_ascii=False)
    if len(text) > _MAX_JSONB_BYTES:
        raise InputInvalid(
            f"The state is {len(text) >> 20} MB of JSON, and Postgres takes {_MAX_JSONB_BYTES >> 20} MB;"
            " keep large data elsewhere and a reference to it in the state."
        )
    return text


def restored_state(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a document; what others have changed in it meanwhile stays as they left it."""
    state, notes = dict(document), document.get(TYPES_KEY)
    if not isinstance(notes, list):
        return state
    del state[TYPES_KEY]
    for note in notes:
        if isinstance(note, list) and len(note) > 1:
            _restore(state, *note)
    return state


def _held(state: object) -> dict[Any, Any]:
    """Return what a state consists of: of a model what it dumps, of a dataclass all its fields.

    Raises:
        InputInvalid: it is no mapping, or the model cannot be dumped.
    """
    if isinstance(state, BaseModel):
        try:
            dumped = state.model_dump(round_trip=True, warnings=False)
        except (PydanticSerializationError, ValueError) as error:
            raise InputInvalid(
                f"The model {type(state).__name__} cannot be dumped ({error!s:.200}); mend its serializers."
            ) from error
        return document_of(dumped)
    if is_dataclass(state) and not isinstance(state, type):
        return {field.name: getattr(state, field.name) for field in fields(state)}
    return document_of(state)


class _Walk(Walk):
    """The walk that notes each value which JSON knows by another type."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[list[str | int]] = []

    def document(self, state: dict[Any, Any]) -> dict[str, Any]:
        document: dict[str, Any] = self.whole(state)
        return {**document, TYPES_KEY: self._notes[::-1]} if self._notes else document

    @override
    def form(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind is bool or kind is list:
            return value
        if kind is str:
            return value if is_storable(value) else self._note("str", value.encode("unicode_escape").decode())
        if kind is int:
            return self.integer(value)
        if kind is float:
            return self._float(value)
        if kind is dict:
            return self._keys(value)
        if kind not in _ENCODERS:
            self._refuse_type(value)
        if kind is datetime or kind is time:
            self._require_all_told(value)
        return self._note(kind.__name__, _ENCODERS[kind](value))

    def _note(self, kind: str, form: object) -> Any:
        self._notes.append([kind, *self.path])
        return form

    def _keys(self, mapping: dict[Any, Any]) -> dict[str, Any]:
        if self.has_plain_keys(mapping):
            return mapping
        named: dict[str, Any] = {}
        for key, item in mapping.items():
            name = key if type(key) is str else str(self.integer(key) if type(key) is int else key)
            if type(key) in _KEYS:
                self._notes.append([type(key).__name__ + _KEY, *self.path, name])
            elif name is not key or not is_storable(name):
                self.refuse(f"has the key {key!r:.80}, which no database gives back; use plain text for it")
            if name in named:
                self.refuse(f"has two keys that are both {name!r:.80} in JSON; rename one")
            named[name] = item
        return named

    def _float(self, value: float) -> Any:
        if not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0):
            return self._note("float", repr(value))
        return self._note("float", value) if abs(value) >= _FIRST_POINTLESS_FLOAT else value

    def _require_all_told(self, at: datetime | time) -> None:
        """Refuse a time of which ISO text does not say all."""
        if at.fold:
            self.refuse("is a time in an hour that comes twice, and would come back in the first; pass UTC")
        if at.tzinfo is not None and at.tzinfo.utcoffset(None) is None:
            self.refuse(f"is a time of {at.tzinfo}, of which the offset alone would come back; pass UTC")

    def _refuse_type(self, value: object) -> None:
        name = type(value).__name__
        other = "its asdict()" if is_dataclass(value) else "what it is made of"
        stand_in = next((text for kind, text in _STAND_INS if isinstance(value, kind)), other)
        self.refuse(f"is a {name}, which a saved state does not give back; pass {stand_in}")


def _restore(state: Any, kind: str, *path: Any) -> None:
    holder = state
    try:
        *way, last = path
        for key in way:
            holder = holder[key]
        if kind.endswith(_KEY):
            holder[_DECODERS[kind.removesuffix(_KEY)](last)] = holder.pop(last)
        else:
            holder[last] = _DECODERS[kind](holder[last])
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return  # Somebody else has written something else there, which is theirs.
