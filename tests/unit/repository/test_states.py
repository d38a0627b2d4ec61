import json
from collections import Counter, OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from masterflow.domain import InputInvalid
from masterflow.repository import states
from masterflow.repository.states import NOT_STATE, TYPES_KEY, restored_state, state_document, state_text

KEYS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(UTC)).map(lambda at: at.replace(fold=0))
    | st.dates()
    | st.times().map(lambda at: at.replace(fold=0))
    | st.timedeltas()
    | st.uuids()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.sets(SCALARS)
        | st.frozensets(SCALARS)
        | st.dictionaries(KEYS, inner)
        | st.dictionaries(st.integers(), inner)
    ),
    max_leaves=6,
)


def shown(value: Any) -> Any:
    """Return what tells apart values that are equal, such as 1, 1.0 and True, -0.0 and 0.0."""
    if isinstance(value, dict):
        return "dict", sorted(((shown(key), shown(item)) for key, item in value.items()), key=repr)
    if isinstance(value, list | tuple):
        return type(value).__name__, [shown(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted((shown(item) for item in value), key=repr)
    return type(value).__name__, repr(value)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_a_state_comes_back_with_the_types_it_had(state: dict[str, Any]) -> None:
    assert shown(restored_state(json.loads(state_text(state)))) == shown(state)


def test_other_readers_of_the_column_see_plain_json() -> None:
    at = datetime(2026, 1, 2, 3, tzinfo=UTC)
    state: dict[Any, Any] = {
        "at": at,
        "cost": Decimal("1.10"),
        "ids": {UUID(int=7)},
        "rows": ({"raw": b"hi"},),
        1: "one",
    }
    document = state_document(state)
    assert document.pop(TYPES_KEY)
    assert document == {
        "at": "2026-01-02T03:00:00+00:00",
        "cost": "1.10",
        "ids": ["00000000-0000-0000-0000-000000000007"],
        "rows": [{"raw": "aGk="}],
        "1": "one",
    }
    assert TYPES_KEY not in state_document({"plain": [1, "a", None, {"b": 1.5}]})


class Colour(Enum):
    RED = "red"


class Step(StrEnum):
    FIRST = "first"


NAIVE = datetime(2026, 1, 2)  # noqa: DTZ001


class Model(BaseModel):
    at: datetime = NAIVE
    tags: set[str] = {"a"}
    cost: Decimal = Decimal("1.10")
    hidden: str = Field("h", exclude=True)


class Colourful(BaseModel):
    colours: list[Colour] = [Colour.RED]
    password: SecretStr = SecretStr("p")


@dataclass
class Point:
    x: float


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        (Colour.RED, "is a Colour, which a saved state does not give back; pass its value"),
        (Step.FIRST, "is a Step"),
        (Point(1), "is a Point, which a saved state does not give back; pass its asdict()"),
        (Model(), "is a Model, which a saved state does not give back; pass its model_dump()"),
        (Pair(1, 2), "is a Pair, which a saved state does not give back; pass a list"),
        (OrderedDict(a=1), "is a OrderedDict, which a saved state does not give back; pass a dict"),
        (Counter("a"), "is a Counter"),
        (MappingProxyType({}), "is a mappingproxy, which a saved state does not give back; pass a dict"),
        (range(3), "is a range, which a saved state does not give back; pass what it is made of"),
        (ValueError("boom"), "is a ValueError"),
        (Path("a"), "is a PosixPath, which a saved state does not give back; pass its text"),
        (bytearray(b"a"), "is a bytearray, which a saved state does not give back; pass bytes"),
        (datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")), "is a time of Europe/Berlin, of which"),
        (datetime(2026, 7, 1, fold=1, tzinfo=UTC), "is a time in an hour that comes twice"),
        pytest.param(10**5000, "is a number of more than 4,200 digits", id="5000 digits"),
        ({1: "a", "1": "b"}, "has two keys that are both '1' in JSON; rename one"),
        ({None: 1}, "has the key None, which no database gives back; use plain text for it"),
        ({"a\0": 1}, "has the key 'a\\x00'"),
        ({Step.FIRST: 1}, "has the key <Step.FIRST: 'first'>"),
    ],
)
def test_what_would_come_back_changed_is_refused_with_its_path(value: Any, finding: str) -> None:
    with pytest.raises(InputInvalid) as raised:
        state_text({"a": {"b": [0, 1, 2, value]}})
    assert str(raised.value).startswith(f"$.a.b[3] {finding}")


@pytest.mark.parametrize("key", [*NOT_STATE, TYPES_KEY])
def test_a_key_of_other_writers_is_refused_at_the_top_alone(key: str) -> None:
    with pytest.raises(InputInvalid, match=rf"\$\.{key} is a key of other writers"):
        state_text({key: []})
    assert state_document({"inner": {key: []}}) == {"inner": {key: []}}


def test_a_state_that_postgres_has_no_room_for_is_refused_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(states, "_MAX_JSONB_BYTES", 1 << 20)
    with pytest.raises(
        InputInvalid, match="The state is 2 MB of JSON, and Postgres takes 1 MB; keep large data"
    ):
        state_text({"a": "x" * (2 << 20)})


def test_a_model_is_kept_as_what_it_dumps() -> None:
    model = Model(at=NAIVE + timedelta(1))
    restored = restored_state(json.loads(state_text(model)))
    assert shown(restored) == shown({"at": model.at, "tags": {"a"}, "cost": Decimal("1.10")})
    assert Model.model_validate(restored) == model


def test_a_value_that_a_model_does_not_dump_plainly_is_refused_with_its_path() -> None:
    with pytest.raises(InputInvalid, match=r"\$\.colours\[0\] is a Colour"):
        state_text(Colourful())
    with pytest.raises(InputInvalid, match=r"\$\.password is a SecretStr"):
        state_text(Colourful(colours=[]))
    assert restored_state(state_document(Colourful().model_dump(mode="json")))["colours"] == ["red"]


def test_a_dataclass_is_kept_as_its_fields() -> None:
    assert state_document(Point(1.5)) == {"x": 1.5}  # type: ignore[arg-type]


def test_what_others_changed_meanwhile_stays_as_they_left_it() -> None:
    document = state_document(
        {"at": date(2026, 1, 2), "n": {1: (1, 2)}, "length": timedelta(1), "t": time(1)}
    )
    changed = {**document, "at": "tomorrow", "n": [], "length": None}
    del changed["t"]
    assert restored_state(changed) == {"at": "tomorrow", "n": [], "length": None}


@pytest.mark.parametrize(
    "notes",
    [[["eval", "a"]], [["Decimal"]], [[7, "a"]], [None], [[]], [["int key", "b"]], [["Decimal", {}, []]]],
)
def test_notes_of_somebody_else_change_nothing(notes: Any) -> None:
    assert restored_state({"a": "1", TYPES_KEY: notes}) == {"a": "1"}
    assert restored_state({"a": "1", TYPES_KEY: "theirs"}) == {"a": "1", TYPES_KEY: "theirs"}


def test_a_time_of_a_fixed_offset_comes_back_with_it() -> None:
    at = datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    [back] = restored_state(state_document({"at": at})).values()
    assert (back, back.utcoffset()) == (at, at.utcoffset())
