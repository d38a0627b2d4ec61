import json
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.adapt import AdaptersMap

from masterflow.repository.values import (
    EARLIEST,
    LATEST,
    JsonbLoader,
    JsonLoader,
    TimeLoader,
    known_time,
    register_loaders,
)


@pytest.mark.parametrize("loader", [JsonLoader, JsonbLoader])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        ("9" * 300, int("9" * 300)),
        ("9" * 5_000, f"{'9' * 30}…[number of 5000 digits]"),
        ("-" + "1" * 400 + ".5", f"-{'1' * 29}…[number of 403 digits]"),
        ("[" * 100 + '"["' + "]" * 100, None),
        ('["]", "[[[", "\\"["]', ["]", "[[[", '"[']),
    ],
)
def test_what_no_double_holds_is_marked_and_all_else_is_as_it_was(loader, text: str, value: object) -> None:
    found = loader(0).load(text.encode())
    assert found == (json.loads(text) if value is None else value)


@pytest.mark.parametrize("loader", [JsonLoader, JsonbLoader])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}"), ('[{"a": ', "}]")])
def test_what_is_nested_too_deeply_is_cut_and_says_so(loader, opening: str, closing: str) -> None:
    found = loader(0).load((opening * 6_000 + "1" + closing * 6_000).encode())
    assert '"…[nested deeper]"' in json.dumps(found, ensure_ascii=False)


def test_halves_of_characters_and_exponents_that_only_json_keeps_are_read() -> None:
    found = JsonLoader(0).load(b'{"half \\ud800": "\\ud83d\\ude00", "big": 1e400, "small": 1e-400}')
    assert found == {"half ?": "😀", "big": "1e400…[number of 5 digits]", "small": 0.0}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (b"infinity", LATEST),
        (b"294276-12-31 23:59:59+00", LATEST),
        (b"-infinity", EARLIEST),
        (b"4713-01-01 00:00:00+00 BC", EARLIEST),
        (b"2026-11-02 09:30:00.5+00", datetime(2026, 11, 2, 9, 30, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_times_beyond_the_calendar_are_read_and_known_as_such(text: bytes, at: datetime) -> None:
    found = TimeLoader(0).load(text)
    assert found == at
    assert known_time(found) == (None if at in {EARLIEST, LATEST} else at)


def test_the_loaders_are_for_those_who_ask_for_them() -> None:
    ours = AdaptersMap(psycopg.adapters)
    register_loaders(ours)
    for name in ("json", "jsonb", "timestamptz"):
        oid = psycopg.adapters.types[name].oid
        theirs = psycopg.adapters.get_loader(oid, psycopg.pq.Format.TEXT)
        assert ours.get_loader(oid, psycopg.pq.Format.TEXT) is not theirs
