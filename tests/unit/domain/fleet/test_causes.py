import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain.fleet.causes import CAUSE_CHARS, UNKNOWN, cause_of

_words = st.text(string.ascii_letters + " ,.;-_/'\"()<>", max_size=40)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("TimeoutError: no answer within 30 s", "TimeoutError: no answer within # s"),
        ("no answer within 1,234.5 s", "no answer within # s"),
        ("connection to db-3.internal:5432 refused", "connection to <host> refused"),
        ("connection to 10.0.0.17:5432 refused", "connection to <host> refused"),
        ("connection to [fe80::1]:5432 refused", "connection to <host> refused"),
        ("redis:6379 is away", "<host> is away"),
        ("GET https://api.example.com/v1/items/17?x=1 gave 503", "GET <address> gave #"),
        ("no flow 0198c4a2-7d5e-7c3a-9b0e-3f8f6f1f2a11", "no flow <id>"),
        ("object at 0x7f3a2c", "object at <id>"),
        ("commit 9f8e7d6c5b is gone", "commit <id> is gone"),
        ("at 2026-11-02T09:30:41.007100+00:00 it broke", "at <time> it broke"),
        ("mail to ann.lee@example.com bounced", "mail to <address> bounced"),
        ("worker-7 died", "worker-# died"),
        ("psycopg.errors.UniqueViolation: duplicate key", "psycopg.errors.UniqueViolation: duplicate key"),
        ("KeyError: 'name'", "KeyError: 'name'"),
        ("deadbeef is a word here", "deadbeef is a word here"),
        ("\n\n  Two   lines \nof it", "Two lines"),
        ("", UNKNOWN),
        (" \n ", UNKNOWN),
    ],
)
def test_a_cause_is_the_text_without_what_differs(text: str, cause: str) -> None:
    assert cause_of(text) == cause


@given(_words, st.integers(0, 10**12), st.integers(0, 10**12), _words)
def test_a_number_alone_makes_no_other_cause(before: str, one: int, other: int, after: str) -> None:
    assert cause_of(f"{before} {one} {after}") == cause_of(f"{before} {other} {after}")


@given(_words, st.uuids(), st.uuids(), _words)
def test_an_id_alone_makes_no_other_cause(before: str, one: object, other: object, after: str) -> None:
    assert cause_of(f"{before} {one} {after}") == cause_of(f"{before} {other} {after}")


@given(st.text(max_size=1_000))
def test_whatever_a_text_is_its_cause_is_short_and_has_no_digits(text: str) -> None:
    cause = cause_of(text)
    assert 0 < len(cause) <= CAUSE_CHARS
    assert not any(char in string.digits for char in cause)


@given(st.text(max_size=100))
def test_the_cause_of_a_cause_is_itself(text: str) -> None:
    cause = cause_of(text)
    assert cause_of(cause_of(cause)) == cause_of(cause)
