from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from masterflow.domain.control.schemas import schema_problem


class Column(BaseModel):
    name: str = Field(min_length=1, max_length=10)
    kind: Literal["text", "number"] = "text"


class Columns(BaseModel):
    model_config = ConfigDict(extra="forbid")

    approve: bool
    columns: list[Column] = Field(default_factory=list, max_length=2)
    score: Annotated[float, Field(ge=0, lt=1)] | None = None
    count: int = Field(1, ge=1, le=9)
    tags: dict[str, int] = Field(default_factory=dict)


class Tree(BaseModel):
    children: "list[Tree]" = []


@pytest.mark.parametrize(
    "value",
    [
        {"approve": True},
        {"approve": False, "columns": [{"name": "a"}, {"name": "b", "kind": "number"}], "score": 0.5},
        {"approve": True, "score": None, "count": 9, "tags": {"a": 1}},
        {},
        [],
        None,
        "yes",
        {"approve": 1},
        {"approve": "true"},
        {"approve": True, "more": 1},
        {"approve": True, "columns": [{"name": ""}]},
        {"approve": True, "columns": [{"name": "a", "kind": "date"}]},
        {"approve": True, "columns": [{"name": "a"}] * 3},
        {"approve": True, "score": 1},
        {"approve": True, "score": "much"},
        {"approve": True, "count": 0},
        {"approve": True, "count": 1.5},
        {"approve": True, "tags": {"a": "b"}},
    ],
    ids=str,
)
def test_what_the_schema_of_a_model_refuses_is_what_the_model_refuses(value: Any) -> None:
    problem = schema_problem(Columns.model_json_schema(), value)
    try:
        Columns.model_validate(value, strict=True)
    except ValidationError:
        assert problem is not None
        assert problem.endswith(".")
    else:
        assert problem is None


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (int, "1", "The answer must be of the type integer."),
        (Literal["a", "b"], "c", 'The answer must be one of "a", "b".'),
        (int | None, "x", "The answer must be of the type integer or the answer must be of the type null."),
        (tuple[int, str], [1, 2], "Item 2 of the answer must be of the type string."),
        (Columns, {"columns": []}, "'approve' is missing."),
        (Column, {"name": "x" * 11}, "'name' must be at most 10 characters."),
        (list[Column], [{}], "'name' in item 1 of the answer is missing."),
        (bool, 1, "The answer must be of the type boolean."),
        (datetime, "2026-11-02T09:31:07Z", None),
    ],
)
def test_the_sentence_names_the_place(kind: Any, value: Any, problem: str | None) -> None:
    assert schema_problem(TypeAdapter(kind).json_schema(), value) == problem


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}] * 10},
        {"allOf": [{"$ref": "#/nowhere"}], "properties": 3, "required": 4, "enum": [1]},
        {"type": "unheard of", "minimum": "low", "items": None, "prefixItems": {}},
        {"pattern": "^(a+)+$"},
    ],
    ids=str,
)
def test_a_schema_that_is_odd_or_endless_is_looked_at_for_a_moment_and_left_to_the_process(
    schema: dict[str, Any],
) -> None:
    assert schema_problem(schema, 1) is None
    assert schema_problem({"pattern": "^(a+)+$"}, "a" * 40 + "b") is None


def test_a_schema_that_refers_to_itself_is_followed_as_deep_as_the_value_goes() -> None:
    schema = Tree.model_json_schema()
    assert schema_problem(schema, {"children": [{"children": []}, {}]}) is None
    assert schema_problem(schema, {"children": [{"children": [1]}]}) is not None
