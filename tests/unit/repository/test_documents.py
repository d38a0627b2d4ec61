import json
import sys
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from masterflow.domain import InputInvalid
from masterflow.repository.documents import document_of, document_text

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def storable(text: str) -> str:
    return text.replace("\0", "").encode(errors="ignore").decode()


def stored(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [stored(item) for item in value]
    return {storable(key): stored(item) for key, item in value.items()} if isinstance(value, dict) else value


def has_colliding_keys(value: Any) -> bool:
    """Return whether two keys are the same without what no database stores."""
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    is_smaller = isinstance(value, dict) and len({storable(key) for key in value}) < len(value)
    return is_smaller or any(map(has_colliding_keys, items))


@settings(max_examples=50)
@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5))
@example({"": 1, "\0": 2})
@example({"a\0": [1], "b": {"\ud800": 1}})
def test_json_is_kept_whole_but_for_characters_that_no_database_stores(document: dict[str, Any]) -> None:
    if has_colliding_keys(document):
        with pytest.raises(InputInvalid, match="has two keys that are both"):
            document_text(document)
        return
    text = document_text(document)
    assert json.loads(text) == stored(document)
    text.encode()


def test_nothing_is_masked_or_cut() -> None:
    deep: dict[str, Any] = {"leaf": 1}
    for _ in range(100):
        deep = {"deeper": deep}
    document = {
        "session_token": "abc",
        "note": "password=x",
        "k" * 1000: "v" * 100_000,
        "deep": deep,
        "big": 10**40,
    }
    assert json.loads(document_text(document)) == document


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    step: int = 1
    at: datetime = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        ((1, (2,)), [1, [2]]),
        ({3, 1}, [1, 3]),
        (datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),  # noqa: DTZ001
        (Decimal("1.5"), 1.5),
        (Colour.RED, "red"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Model(), {"step": 1, "at": "2026-01-02T00:00:00.000000+00:00"}),
        (Point(float("nan")), {"x": None}),
        (
            {1: "a", None: "b", UUID(int=7): "c"},
            {"1": "a", "None": "b", "00000000-0000-0000-0000-000000000007": "c"},
        ),
        ({(1, 2): "odd key"}, {"[1, 2]": "odd key"}),
        (OrderedDict(a=MappingProxyType({"b": "x\0y\ud800z"})), {"a": {"b": "xyz"}}),
        ("a literal \\u0000 stays", "a literal \\u0000 stays"),
    ],
)
def test_what_json_does_not_know_takes_its_plain_form(value: object, expected: object) -> None:
    assert json.loads(document_text({"value": value})) == {"value": expected}


CIRCLE: dict[str, Any] = {"inner": []}
CIRCLE["inner"].append(CIRCLE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("document", "finding"),
    [
        (CIRCLE, "$.inner[0] is held by itself"),
        ({"deep": DEEP}, "[0][0] is nested deeper than 500 levels"),
        ({"rows": [1, {"raw": b"\xff"}]}, "$.rows[1].raw is a bytes, which JSON does not know; pass text"),
        ({"a b": object()}, '$["a b"] is a object, which JSON does not know'),
        ({"left": (n for n in range(3))}, "$.left is a generator"),
        ({"a": {1: "x", "1": "y"}}, "$.a has two keys that are both '1' in JSON; rename one"),
        ({"n": [10**5000]}, "$.n[0] is a number of more than 4,200 digits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_json_would_lose_is_refused_with_its_path(document: Any, finding: str) -> None:
    with pytest.raises(InputInvalid) as raised:
        document_text(document)
    assert finding in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_call_from_deep_within_is_told_so() -> None:
    document: dict[str, Any] = {}
    for _ in range(300):
        document = {"deeper": document}

    def from_below(levels: int) -> str:
        return from_below(levels - 1) if levels else document_text(document)

    with pytest.raises(InputInvalid, match="nested too deeply for where it is saved"):
        from_below(sys.getrecursionlimit() - 300)


@pytest.mark.parametrize("value", [{"a": 1}, MappingProxyType({"a": 1}), OrderedDict(a=1)])
def test_a_mapping_is_a_document(value: object) -> None:
    assert document_of(value) == {"a": 1}


def test_a_model_is_a_document() -> None:
    assert document_of(Model(step=3))["step"] == 3


@pytest.mark.parametrize("value", [None, 1, "text", ["a"], [("a", 1)]])
def test_anything_else_is_no_document(value: object) -> None:
    with pytest.raises(InputInvalid, match="mapping"):
        document_of(value)
