"""A hook pays for each look at what it is given, so it looks only where a secret can stand."""

import random
from typing import Any

import pytest

from masterflow.domain.payload import fitting
from masterflow.domain.payload.safe import safe_object
from masterflow.domain.payload.secrets import places
from masterflow.domain.payload.secrets.names import MASK


def test_texts_are_read_as_statements_only_beside_what_may_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    look = places.names_secret_place

    def count(text: str) -> bool:
        read.append(text)
        return look(text)

    monkeypatch.setattr(places, "names_secret_place", count)
    entry = {"agent": "Schema Expert", "action": "mapped columns", "details": {"mapped": 7}, "rows": [1, 2]}
    assert safe_object(entry, max_bytes=4_000) == entry
    assert read == []
    bound = {"sql": "update users set password = %s where id = %s", "params": ["hunter2", 7]}
    assert safe_object(bound, max_bytes=4_000)["params"] == MASK
    assert read


def test_keys_are_told_apart_once_and_long_ones_are_not_kept() -> None:
    kept = places._role_of.cache_info().currsize
    long = {("x" * 100 + str(number)): {"a": 1} for number in range(10)}
    safe_object(long, max_bytes=4_000)
    assert places._role_of.cache_info().currsize <= kept + 1
    for number in range(50):
        safe_object({"agent": "a", "details": {"rows": number}}, max_bytes=4_000)
    assert places._role_of.cache_info().currsize <= kept + 3


KEYS = (
    *("agent", "name", "key", "value", "password", "tokens", "params", "sql", "kind", "pass", "user", "kty"),
    *("k", "data", "details", "columns", "rows", "é", "x" * 250, "api_key", "stringData", "a\0b", 3, None),
)
VALUES = (
    *("Schema Expert", "DB_PASSWORD", "hunter2!x", "Secret", "update t set password = %s", "x" * 500, ""),
    *("é", "password=foo1234", b"x", 7, 1.5, None, True),
)


def some_value(chance: random.Random, levels: int = 3) -> Any:
    kind = chance.random() if levels else 1
    if kind < 0.25:
        return {chance.choice(KEYS): some_value(chance, levels - 1) for _ in range(chance.randrange(4))}
    if kind < 0.45:
        items = [some_value(chance, levels - 1) for _ in range(chance.randrange(4))]
        return items if kind < 0.4 else tuple(items)
    return chance.choice(VALUES)


def test_an_object_whose_keys_say_nothing_of_others_is_masked_and_cut_as_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(7)
    found = [
        {chance.choice(KEYS): some_value(chance) for _ in range(chance.randrange(6))} for _ in range(1_000)
    ]
    rooms = [chance.choice((200, 400, 4_000)) for _ in found]
    quick = [safe_object(each, max_bytes=room) for each, room in zip(found, rooms, strict=True)]
    monkeypatch.setattr(fitting, "_copy_quiet", lambda *_: None)
    assert quick == [safe_object(each, max_bytes=room) for each, room in zip(found, rooms, strict=True)]
