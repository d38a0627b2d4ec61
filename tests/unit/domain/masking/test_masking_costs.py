"""A hook pays for each look at what it is given, so it looks only where a secret can stand."""

import pytest

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
