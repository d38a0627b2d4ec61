"""What is copied of crewAI's events, whatever the errors in them are."""

import pytest

from masterflow.bridges.crewai.facts import error_facts


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def fail() -> None:
    raise Speechless


def test_an_error_without_a_text_is_named_by_its_type():
    with pytest.raises(Speechless) as raised:
        fail()
    facts = error_facts(raised.value)
    assert facts["error"] == facts["error_type"] == "Speechless"
    assert facts["raised_at"].startswith("test_facts.py:")


def test_of_a_large_argument_only_the_beginning_is_made_text_of():
    counted: list[int] = []

    class Item:
        def __repr__(self) -> str:
            counted.append(1)
            return "item" * 10

    text = error_facts(ValueError([Item() for _ in range(100_000)]))["error"]
    assert text.startswith("[itemitem")
    assert len(text) <= 2_000
    assert len(counted) < 1_000


def test_a_text_in_place_of_an_error_is_kept_to_its_beginning():
    assert error_facts(f"  {'x' * 9_000}") == {"error": "x" * 2_000}
