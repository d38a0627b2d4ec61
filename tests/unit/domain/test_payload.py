import inspect
import json
import math
import sys
import time
from array import array
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from masterflow.domain.errors import InputInvalid
from masterflow.domain.payload.safe import safe_map, safe_object, safe_text

FLOW_ID = UUID("018f4e2a-7b7c-7cc1-9d1e-0123456789ab")
Point = namedtuple("Point", "x y")


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Plan(Enum):
    STEPS = ("a", {"b": Level.HIGH})


class Agent(BaseModel):
    role: str
    retries: int = 2
    note: str = Field(default="internal", exclude=True)


@dataclass
class Timing:
    phase: str
    ms: float
    session: object = field(default=None, repr=False)


class Wordless:
    def __init__(self):
        self.password = "in an attribute"


class Talkative:
    def __str__(self):
        return "ready at <thing at 0x7f0012ab>"


class Failing:
    """Raises whatever is done with it."""

    def fail(self, *args):
        raise RuntimeError("no")

    __str__ = __repr__ = __iter__ = __len__ = __bool__ = __float__ = __index__ = fail
    items = keys = tolist = item = fail
    __class__ = property(fail)


class Wordfail:
    def __str__(self):
        raise RuntimeError("no")


class FailingMapping(dict[str, int]):
    def items(self):
        raise RuntimeError("no")


class FailingError(Exception):
    def __str__(self):
        raise RuntimeError("no")


class NumpyLike:
    shape = (2, 2)

    def __init__(self, numbers, nbytes=8):
        self.numbers, self.nbytes = numbers, nbytes

    def tolist(self):
        return self.numbers


class ScalarLike:
    def item(self):
        return 0.5


class TableLike:
    shape = (412, 14)


def endless():
    while True:
        yield 1


def kind_of(value):
    return type(value).__name__


def jsonb_bytes(value) -> int:
    """Return `octet_length(value::jsonb::text)`: what Postgres prints, numbers written out."""
    if isinstance(value, dict):
        return (
            2
            + sum(jsonb_bytes(key) + 2 + jsonb_bytes(item) + 2 for key, item in value.items())
            - 2 * bool(value)
        )
    if isinstance(value, list):
        return 2 + sum(jsonb_bytes(item) + 2 for item in value) - 2 * bool(value)
    if isinstance(value, float):
        return len(f"{Decimal(repr(value)):f}")
    return len(json.dumps(value, ensure_ascii=False).encode())


def assert_safe(value, max_bytes):
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    assert "\0" not in text
    assert "\\u0000" not in text
    assert json.loads(text.encode()) == value
    assert jsonb_bytes(value) <= max_bytes


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (math.nan, None),
        (-math.inf, None),
        (0.1, 0.1),
        (-0.0, 0.0),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (2**63, 2**63),
        (-(10**29), -(10**29)),
        (10**100_000, "[int of 332193 bits]"),
        (True, True),
        ("a\0b", "ab"),
        ("a\ud800b\udfff", "ab"),
        ("naïve 🚀\n", "naïve 🚀\n"),
        (datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2024-05-01T10:00:00.000000+00:00"),
        (datetime(2024, 5, 1, 10, 0, 0, 7), "2024-05-01T10:00:00.000007+00:00"),  # noqa: DTZ001
        (date(2024, 5, 1), "2024-05-01"),
        (time_of_day(10, 30), "10:30:00"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (Decimal("12.50"), 12.5),
        (Decimal("0.1234567890123456789"), "0.1234567890123456789"),
        (Decimal("NaN"), None),
        (FLOW_ID, str(FLOW_ID)),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Plan.STEPS, ["a", {"b": 3}]),
        (b"caf\xc3\xa9", "café"),
        (bytearray(b"\xff!"), "\ufffd!"),
        (memoryview(b"abc"), "abc"),
        (b"x" * 2_000_000, "[2000000 bytes]"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (deque([1]), [1]),
        ({"a": 1}.values(), [1]),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Timing("data_import", 12.5, session=object()), {"phase": "data_import", "ms": 12.5}),
        (Agent(role="Schema Expert"), {"role": "Schema Expert", "retries": 2}),
        (KeyError("x"), "KeyError: 'x'"),
        (TimeoutError(), "TimeoutError"),
        (PurePosixPath("/data/a.csv"), "/data/a.csv"),
        (array("i", [1, 2]), [1, 2]),
        (NumpyLike([[1, 2], [3, math.nan]]), [[1, 2], [3, None]]),
        (NumpyLike(7), 7),
        (NumpyLike([1], nbytes=10**9), "[NumpyLike of shape (2, 2)]"),
        (ScalarLike(), 0.5),
        (TableLike(), "[TableLike of shape (412, 14)]"),
        (Wordless(), "[Wordless]"),
        (Talkative(), "[Talkative] ready at <thing>"),
        (SecretStr("hunter2"), "[SecretStr] **********"),
        (object(), "[object]"),
        (Timing, "[type] <class 'test_payload.Timing'>"),
    ],
    ids=kind_of,
)
def test_a_value_of_any_type_becomes_plain_json(value, plain):
    stored: Any = safe_object({"it": value}, max_bytes=1_000)["it"]
    if isinstance(plain, str) and plain.startswith("[type]"):
        assert str(stored).startswith("[type] <class '")
    else:
        assert stored == plain
        assert type(stored) is type(plain)


@pytest.mark.parametrize(
    "make", [lambda kind: kind(), lambda kind: [kind()], lambda kind: (1, kind()), lambda kind: {"a": kind()}]
)
@pytest.mark.parametrize("kind", [Failing, FailingMapping, FailingError])
def test_an_object_that_raises_whatever_is_done_with_it_is_named_and_raises_nothing(kind, make):
    value = make(kind)
    stored: Any = safe_object({"it": value, "next": 1}, max_bytes=1_000)
    assert "[unreadable Failing" in json.dumps(stored)
    assert stored["next"] == 1
    assert "[unreadable Failing" in json.dumps(safe_object(value, max_bytes=1_000))
    assert "[unreadable Failing" in safe_text(value, max_chars=300)


def test_an_object_that_raises_is_weighed_too_when_the_payload_is_cut():
    payload = {
        "text": "x" * 9_000,
        "it": Failing(),
        "list": [Failing()] * 900,
        "map": FailingMapping(a=1),
        "n": 1,
    }
    stored: Any = safe_object(payload, max_bytes=1_000)
    assert stored["it"] == "[unreadable Failing]"
    assert stored["list"][0] == "[unreadable Failing]"
    assert stored["n"] == 1


def test_a_nearly_full_stack_raises_nothing():
    payload = {"rows": [{"a": {"b": [Decimal(1), {1, 2}, "password=x"]}}] * 50, "text": "x" * 9_000}

    def descend(frames: int) -> Any:
        return descend(frames - 1) if frames else safe_object(payload, max_bytes=500)

    room = sys.getrecursionlimit() - len(inspect.stack())
    for left in range(12, 90):
        assert_safe(descend(room - left), 500)
    assert safe_object({"rows": 1}, max_bytes=500) == {"rows": 1}


def test_an_iterator_is_not_consumed():
    rows = iter([1, 2])
    numbers = endless()
    assert safe_object({"rows": numbers}, max_bytes=500) == {"rows": "[generator] <generator object endless>"}
    safe_object({"rows": rows, "numbers": numbers}, max_bytes=500)
    assert list(rows) == [1, 2]


def test_a_mock_does_not_lead_into_a_maze():
    stored: Any = safe_object({"agent": MagicMock()}, max_bytes=500)
    assert str(stored["agent"]).startswith("[MagicMock]")


def test_what_is_no_object_stands_under_value_and_none_is_the_empty_object():
    assert safe_object(None, max_bytes=500) == {}
    assert safe_object([1, 2], max_bytes=500) == {"value": [1, 2]}
    assert safe_object("text", max_bytes=500) == {"value": "text"}
    assert safe_object(math.nan, max_bytes=500) == {"value": None}


def test_odd_keys_become_text():
    payload = {
        True: "a",
        None: "b",
        2.5: "e",
        (1, "x"): "f",
        FLOW_ID: "g",
        Colour.RED: "h",
        "n\0\ud800": "i",
    }
    assert safe_object(payload, max_bytes=500) == {
        "true": "a",
        "null": "b",
        "2.5": "e",
        '[1, "x"]': "f",
        str(FLOW_ID): "g",
        "red": "h",
        "n": "i",
    }


def test_keys_that_become_the_same_text_are_counted_as_cut():
    assert safe_object({1: "a", "1": "b"}, max_bytes=500) == {"1": "b", "…": "…[truncated 1 keys]"}


def test_a_number_of_hundreds_of_digits_becomes_text_that_is_cut():
    [number] = safe_object({"n": 10**400}, max_bytes=500).values()
    assert str(number).startswith("1000")
    assert str(number).endswith(" chars]")


def test_a_cycle_and_what_is_nested_too_deep_are_cut_with_a_marker():
    ring: dict[str, Any] = {"name": "ring"}
    ring["self"] = ring
    assert safe_object(ring, max_bytes=500) == {"name": "ring", "self": "…[cycle]"}
    deep: Any = "bottom"
    for _ in range(9):
        deep = [deep]
    text = json.dumps(safe_object({"deep": deep}, max_bytes=500), ensure_ascii=False)
    assert text == '{"deep": ' + "[" * 7 + '"…[deeper than 8 levels]"' + "]" * 7 + "}"


def test_the_same_object_twice_is_no_cycle():
    shared = {"a": 1}
    assert safe_object({"x": shared, "y": [shared, shared]}, max_bytes=500) == {
        "x": shared,
        "y": [shared, shared],
    }


def test_the_copy_does_not_change_with_the_original():
    payload: dict[str, Any] = {"rows": [1], "deep": {"a": [2]}}
    stored: Any = safe_object(payload, max_bytes=500)
    payload["rows"].append(2)
    payload["deep"]["a"].append(3)
    assert stored == {"rows": [1], "deep": {"a": [2]}}


def test_what_is_cut_says_how_much():
    payload = {
        "text": "word " * 10_000,
        "rows": list(range(9_000)),
        "keys": {f"k{n}": n for n in range(500)},
        "ok": 1,
    }
    stored: Any = safe_object(payload, max_bytes=3_400)
    text = str(stored["text"])
    kept, note = text.split("…")
    assert note == f"[truncated {50_000 - len(kept)} chars]"
    assert stored["rows"][-1] == f"…[truncated {9_000 - len(stored['rows']) + 1} items]"
    assert stored["keys"]["…"] == f"…[truncated {500 - len(stored['keys']) + 1} keys]"
    assert stored["ok"] == 1


def test_a_cut_object_keeps_its_small_values_whole_and_uses_its_room():
    payload = {
        "log": "x" * 100_000,
        "trace": "y" * 100_000,
        "phase": "data_import",
        "rows": 412,
        "agents": ["a", "b"],
    }
    stored: Any = safe_object(payload, max_bytes=3_400)
    assert {key: stored[key] for key in ("phase", "rows", "agents")} == {
        "phase": "data_import",
        "rows": 412,
        "agents": ["a", "b"],
    }
    assert list(stored) == list(payload)
    assert abs(len(str(stored["log"])) - len(str(stored["trace"]))) < 100
    assert 3_200 < jsonb_bytes(stored) <= 3_400


def test_a_cut_list_keeps_items_that_say_something():
    rows = [{"host": f"srv-{n}", "note": "word " * 100} for n in range(1_000)]
    stored: Any = safe_object({"rows": rows}, max_bytes=3_400)
    *kept, note = stored["rows"]
    assert len(kept) >= 10
    assert all(row["host"].startswith("srv-") and len(row["note"]) > 100 for row in kept)
    assert note == f"…[truncated {1_000 - len(kept)} items]"


def test_a_text_that_is_cut_again_adds_up_what_is_missing():
    once = safe_text("x" * 10_000, max_chars=1_000)
    twice = safe_text(once, max_chars=100)
    assert len(twice) <= 100
    kept, note = twice.split("…")
    assert note == f"[truncated {10_000 - len(kept)} chars]"


@pytest.mark.parametrize("character", ["x", "é", "界", "🚀", "\x01", '"', "\\", "\n", "1e300 "])
def test_the_bound_counts_bytes_as_postgres_prints_them(character):
    for payload in (
        {"text": character * 5_000},
        {"list": [character] * 5_000},
        {character * n: n for n in range(300)},
    ):
        assert_safe(safe_object(payload, max_bytes=3_400), 3_400)


def test_extreme_numbers_stay_within_the_bound():
    numbers = [1e300, 1e29, 1.2345678901234567e-29, 1e-7, 1e16, -1e22, 0.1, 10**29, 10**31]
    for count in (3, 50, 5_000):
        assert_safe(safe_object({"n": numbers * count}, max_bytes=1_000), 1_000)
    assert safe_object({"rate": 1e-7, "big": 1e22}, max_bytes=500) == {"rate": 1e-7, "big": 1e22}


HUGE = {
    "text": lambda size: {"text": "lorem ipsum dolor " * (size // 18)},
    "hostile text": lambda size: {"text": "token:" * (size // 6)},
    "list": lambda size: {"rows": list(range(size // 25)), "ok": 1},
    "table": lambda size: {"rows": [[n] * 100 for n in range(size // 2_500)]},
    "texts": lambda size: {"logs": ["lorem ipsum " * 400] * (size // 5_000)},
    "object": lambda size: {str(n): n for n in range(size // 25)},
    "key": lambda size: {"x" * size: 1},
}


def seconds_of(payload) -> float:
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        assert_safe(safe_object(payload, max_bytes=3_400), 3_400)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("kind", HUGE)
def test_a_payload_fifty_times_as_huge_takes_no_more_time(kind):
    assert seconds_of(HUGE[kind](5_000_000)) < 4 * seconds_of(HUGE[kind](100_000)) + 0.002


def test_a_map_is_bounded_in_keys_values_and_all():
    stored: Any = safe_map({f"agent {n} {'x' * n}": {"note": "y" * 9_000, "ok": n} for n in range(300)})
    assert len(stored) == 100
    assert stored["…"] == "…[truncated 201 keys]"
    for key, value in stored.items():
        assert len(key.encode()) <= 80
        assert jsonb_bytes(value) <= 3_900
    assert_safe(stored, 65_536)
    assert stored["agent 0 "]["ok"] == 0


def test_a_map_of_up_to_a_hundred_values_within_bounds_stays_whole():
    payload = {f"agent_{n}": {"ms": n, "text": "y" * (18 * n if n % 3 else 0)} for n in range(100)}
    assert safe_map(payload) == payload
    assert safe_map({"a": "x" * 3_898}) == {"a": "x" * 3_898}


def test_a_map_takes_models_and_dataclasses():
    assert safe_map(Agent(role="Schema Expert")) == {"role": "Schema Expert", "retries": 2}
    assert safe_map(Timing("data_import", 1.5)) == {"phase": "data_import", "ms": 1.5}


def test_what_is_no_mapping_is_refused_with_a_sentence():
    for value in (None, "text", 5, [1], {1, 2}, FailingMapping(a=1), Failing(), SimpleNamespace(a=1)):
        with pytest.raises(InputInvalid, match=r"is no mapping; pass the values by name\.$"):
            safe_map(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        (ValueError("boom"), "ValueError: boom"),
        ({"a": [1, "é"]}, '{"a": [1, "é"]}'),
        (12.5, "12.5"),
        (math.nan, "null"),
        (b"bytes", "bytes"),
        ("a\0\ud800b", "ab"),
    ],
)
def test_any_value_becomes_text(value, text):
    assert safe_text(value, max_chars=100) == text


@pytest.mark.parametrize("character", ["x", "é", "🚀", "\x01", "\n"])
def test_a_text_is_bounded_in_characters_and_if_asked_in_bytes_of_its_row(character):
    text = safe_text(character * 10_000, max_chars=1_500)
    assert len(text) <= 1_500
    text = safe_text(character * 10_000, max_chars=1_500, max_bytes=1_800)
    assert len(text) <= 1_500
    assert jsonb_bytes(text) <= 1_800


TEXTS = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    [
        *("\0", "\ud800", "é" * 300, "\x01" * 300, "x" * 9_000, "…[truncated 5 chars]", "token: ab1"),
        *(
            "password=Nonesuch " * 60,
            "-----BEGIN PRIVATE KEY-----\nMII",
            "postgresql://bob:hunter2@db/app " * 9,
        ),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**29, 10**30, -(10**30), 10**400, 1e300, 5e-324, 1e-30, -0.0])
    | st.just(20_000).map(lambda digits: 10**digits)
    | st.floats()
    | st.decimals()
    | st.datetimes(timezones=st.none() | st.sampled_from([UTC, timezone(timedelta(hours=-14))]))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.binary(max_size=40)
    | st.complex_numbers()
    | st.fractions()
    | TEXTS
    | st.sampled_from([Colour.RED, Level.HIGH, Plan.STEPS, Wordless(), Talkative(), object, len])
    | st.builds(Wordfail)
)
KEYS = (
    TEXTS
    | st.sampled_from(["password", "apiKey", "…", "k" * 300, Colour.RED, Wordless()])
    | st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.uuids(), st.binary(), st.dates())
    | st.tuples(TEXTS, st.integers())
    | st.builds(Wordfail)
)


def ring(value):
    chain = {"value": value}
    chain["again"] = [chain, value]
    return chain


def nested(values):
    return (
        st.lists(values, max_size=8)
        | st.dictionaries(KEYS, values, max_size=8)
        | st.tuples(values, values)
        | st.builds(Timing, values, values)
        | st.builds(lambda value, count: [value] * count, values, st.integers(0, 400))
        | st.builds(
            lambda value, count: {f"key {n}": value for n in range(count)}, values, st.integers(0, 150)
        )
        | values.map(ring)
        | values.map(ValueError)
        | st.frozensets(st.integers() | TEXTS, max_size=5)
    )


ANYTHING = st.recursive(SCALARS, nested, max_leaves=25)


@settings(max_examples=200)
@given(ANYTHING, st.integers(200, 5_000))
def test_any_python_object_becomes_json_within_its_bytes_and_stays_as_it_is(value, max_bytes):
    stored: Any = safe_object(value, max_bytes=max_bytes)
    assert_safe(stored, max_bytes)
    assert safe_object(json.loads(json.dumps(stored)), max_bytes=max_bytes) == stored


@settings(max_examples=200)
@given(st.dictionaries(KEYS, ANYTHING, max_size=150))
def test_any_mapping_becomes_a_bounded_map_and_stays_as_it_is(value):
    stored: Any = safe_map(value)
    assert_safe(stored, 65_536)
    assert len(stored) <= 100
    assert all(len(key.encode()) <= 80 and jsonb_bytes(item) <= 3_900 for key, item in stored.items())
    assert safe_map(json.loads(json.dumps(stored))) == stored


@settings(max_examples=200)
@given(ANYTHING, st.integers(40, 2_000), st.none() | st.integers(100, 2_000))
def test_any_python_object_becomes_text_within_its_bounds_and_stays_as_it_is(value, max_chars, max_bytes):
    text = safe_text(value, max_chars=max_chars, max_bytes=max_bytes)
    assert len(text) <= max_chars
    assert max_bytes is None or jsonb_bytes(text) <= max_bytes
    assert_safe(text, 6 * max_chars + 2)
    assert safe_text(text, max_chars=max_chars, max_bytes=max_bytes) == text
