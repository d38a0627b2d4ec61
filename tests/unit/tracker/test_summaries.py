import linecache
from typing import Any

import pytest

from masterflow.tracker.summaries import describe_error, text_of


class Item:
    """Counts how often text is made of it."""

    written = 0

    def __repr__(self) -> str:
        type(self).written += 1
        return "an item"


@pytest.mark.parametrize(
    "carry",
    [
        ValueError,
        lambda items: KeyError({"rows": items}),
        lambda items: RuntimeError("the rows are bad", items),
        lambda items: TypeError(dict(enumerate(items))),
    ],
)
def test_text_is_made_only_of_the_beginning_of_what_an_error_carries(carry):
    Item.written = 0
    text = text_of(carry([Item() for _ in range(100_000)]))
    assert "an item" in text
    assert len(text) < 10_000
    assert Item.written <= 200


@pytest.mark.parametrize("carried", [b"x" * 5_000_000, bytearray(5_000_000), ["x" * 5_000_000] * 2])
def test_the_text_of_an_error_that_carries_megabytes_is_short(carried):
    assert len(text_of(ValueError("it is too big", carried))) < 50_000


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a text"),
        ValueError(),
        ValueError("two", 2),
        KeyError("name"),
        KeyError({"b": 1, "a": [2]}),
        OSError(2, "No such file", "x.csv"),
        ValueError([1, 2, {"c": None}]),
    ],
)
def test_the_text_of_a_small_error_is_what_python_says(error):
    assert text_of(error) == (str(error) or "ValueError")


def test_an_error_is_placed_without_reading_the_lines_of_its_traceback(monkeypatch: pytest.MonkeyPatch):
    def fail(depth: int) -> Any:
        return fail(depth - 1) if depth else [][0]

    def refuse(*_: object) -> None:
        raise AssertionError("a source file is read")

    monkeypatch.setattr(linecache, "checkcache", refuse)
    try:
        fail(500)
    except IndexError as error:
        described = describe_error(error)
    assert described["error_type"] == "IndexError"
    assert described["raised_at"].startswith("test_summaries.py:")
