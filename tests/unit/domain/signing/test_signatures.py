from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from masterflow.domain import SettingsInvalid, SignatureInvalid
from masterflow.domain.clock import to_microseconds
from masterflow.domain.signing.settings import SigningSettings, WorkerKeySettings
from masterflow.domain.signing.signatures import Keys, Purpose, Signature, is_proof, sign, sign_as, verify

KEYS: Keys = {"new": SecretStr("n" * 16), "old": SecretStr("o" * 16)}
FIELDS: list[str | int | bytes] = ["a", 1, b"b"]
NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

fields = st.lists(st.one_of(st.text(), st.binary(), st.integers()), max_size=4)


def test_the_newest_key_signs_and_any_of_them_verifies():
    assert sign("batch", FIELDS, KEYS) == signed()
    verify("batch", FIELDS, KEYS, signed())
    verify("batch", FIELDS, KEYS, sign("batch", FIELDS, {"old": KEYS["old"]}))
    assert sign_as("batch", FIELDS, KEYS, "old") == sign("batch", FIELDS, {"old": KEYS["old"]})


def test_without_a_key_nothing_is_signed_and_nothing_verifies():
    assert sign("batch", FIELDS, {}) is None
    with pytest.raises(SignatureInvalid, match="no signature"):
        verify("batch", FIELDS, {}, None)
    with pytest.raises(SignatureInvalid, match="not known"):
        verify("batch", FIELDS, {}, sign("batch", FIELDS, KEYS))
    with pytest.raises(SignatureInvalid, match="not known"):
        verify("batch", FIELDS, {"old": KEYS["old"]}, sign("batch", FIELDS, KEYS))


def test_what_is_signed_for_one_purpose_proves_nothing_for_another():
    purposes = get_args(Purpose)
    values = {sign(purpose, FIELDS, KEYS) for purpose in purposes}
    assert len(values) == len(purposes) == 14
    assert not is_proof("control", FIELDS, KEYS, sign("confirmation", FIELDS, KEYS))


@pytest.mark.parametrize("value", ["", "0" * 64, "ä", "\ud800", "x" * 100_000])
def test_a_forged_value_is_refused_whatever_it_is(value):
    with pytest.raises(SignatureInvalid, match="does not fit"):
        verify("batch", FIELDS, KEYS, replace(signed(), value=value))
    with pytest.raises(SignatureInvalid):
        verify("batch", FIELDS, KEYS, replace(signed(), key_id="old"))


@given(fields, fields)
def test_a_proof_fits_the_fields_it_was_made_of_and_no_others(one, other):
    signature = sign("letter", one, KEYS)
    assert is_proof("letter", one, KEYS, signature)
    if [as_bytes(field) for field in one] != [as_bytes(field) for field in other]:
        assert not is_proof("letter", other, KEYS, signature)


def signed() -> Signature:
    return sign_as("batch", FIELDS, KEYS, "new")


def as_bytes(field):
    return field if isinstance(field, bytes) else str(field).encode("utf-8", "surrogatepass")


def test_the_keys_of_an_account_are_found_by_any_text_of_its_id():
    account = UUID(int=1)
    settings = SigningSettings.model_validate({"signing_keys": {account: {"key": "k" * 16}}})
    assert settings.keys_of(account) == settings.keys_of(str(account).upper()) == {"key": SecretStr("k" * 16)}
    assert settings.keys_of(UUID(int=2)) == settings.keys_of("no id") == settings.keys_of(None) == {}


def test_the_keys_of_the_operators_come_from_the_environment_and_never_show(monkeypatch):
    monkeypatch.setenv("ENRICHMENT_WORKER_KEYS", f'{{"first": "{"w" * 16}"}}')
    settings = WorkerKeySettings()
    assert settings.worker_keys["first"].get_secret_value() == "w" * 16
    assert "wwww" not in f"{settings!r} {settings.worker_keys}"
    monkeypatch.setenv("ENRICHMENT_WORKER_KEYS", '{"first": "short"}')
    with pytest.raises(SettingsInvalid, match="Set ENRICHMENT_WORKER_KEYS to JSON") as raised:
        WorkerKeySettings()
    assert "short" not in str(raised.value)


@pytest.mark.parametrize(
    ("age", "complaint"),
    [
        (timedelta(), None),
        (timedelta(days=30, hours=23), None),
        (timedelta(days=-1) + timedelta(seconds=1), None),
        (timedelta(days=31, seconds=1), "more than 31 days ago"),
        (timedelta(days=-1, seconds=-1), "ahead"),
    ],
)
def test_a_signature_is_taken_for_a_month_and_not_from_the_future(age, complaint):
    signed_at = to_microseconds(NOW - age)
    if complaint is None:
        WorkerKeySettings().check_age(signed_at, now=NOW)
        return
    with pytest.raises(SignatureInvalid, match=complaint):
        WorkerKeySettings().check_age(signed_at, now=NOW)


def test_any_number_may_be_the_time_of_a_forged_signature():
    for signed_at in (-(10**30), 10**30):
        with pytest.raises(SignatureInvalid):
            WorkerKeySettings().check_age(signed_at, now=NOW)
