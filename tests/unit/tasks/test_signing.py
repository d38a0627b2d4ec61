from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain import SettingsInvalid, SignatureInvalid
from masterflow.tasks.batch import Batch, sign, verify
from masterflow.tasks.settings import QueueSettings

OURS, THEIRS = UUID(int=1), UUID(int=2)
KEYS = QueueSettings.model_validate(
    {
        "signing_keys": {
            str(OURS): {"new": "n" * 16, "old": "o" * 16},
            str(THEIRS): {"new": "t" * 16},
        }
    }
).signing_keys
BATCH = Batch(batch_id="b", sender_id="s", client_account_id=str(OURS), events='[{"n":1}]')


def test_a_batch_is_signed_with_the_newest_key_and_accepted():
    signed = sign(BATCH, KEYS)
    assert signed.key_id == "new"
    verify(signed, KEYS)


def test_an_older_key_is_still_accepted():
    old_keys = {OURS: {"old": KEYS[OURS]["old"]}}
    verify(sign(BATCH, old_keys), KEYS)


def test_without_keys_everything_is_accepted_and_nothing_signed():
    assert sign(BATCH, {}) == BATCH
    verify(BATCH, {})


def test_with_keys_an_unsigned_batch_is_refused():
    with pytest.raises(SignatureInvalid):
        verify(BATCH, KEYS)


def test_a_batch_of_an_account_without_keys_is_refused_once_others_have_some():
    stranger = replace(BATCH, client_account_id=str(UUID(int=3)))
    assert sign(stranger, KEYS).signature is None
    with pytest.raises(SignatureInvalid):
        verify(stranger, KEYS)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_id": "c"},
        {"sender_id": "t"},
        {"client_account_id": str(THEIRS)},
        {"events": '[{"n":2}]'},
        {"key_id": "old"},
        {"key_id": "unknown"},
        {"key_id": None},
        {"signature": None},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "ä"},
        {"signature": "\ud800"},
        {"events": "\ud800"},
        {"client_account_id": "no id"},
    ],
)
def test_a_changed_batch_is_refused(change):
    with pytest.raises(SignatureInvalid):
        verify(replace(sign(BATCH, KEYS), **change), KEYS)


@given(st.text(), st.text(), st.text())
def test_every_text_can_be_signed(batch_id, sender_id, events):
    batch = replace(BATCH, batch_id=batch_id, sender_id=sender_id, events=events)
    verify(sign(batch, KEYS), KEYS)


def test_the_keys_come_from_the_environment_and_never_show(monkeypatch):
    monkeypatch.setenv("ENRICHMENT_SIGNING_KEYS", f'{{"{OURS}": {{"new": "{"n" * 16}"}}}}')
    settings = QueueSettings()
    verify(sign(BATCH, settings.signing_keys), settings.signing_keys)
    assert "nnnn" not in f"{settings!r} {settings.signing_keys}"


@pytest.mark.parametrize("value", ["no json", '{"x": {}}', "[]", f'{{"{OURS}": {{"new": "short"}}}}'])
def test_malformed_keys_are_refused_with_a_sentence_that_does_not_quote_them(monkeypatch, value):
    monkeypatch.setenv("ENRICHMENT_SIGNING_KEYS", value)
    with pytest.raises(SettingsInvalid, match="Set ENRICHMENT_SIGNING_KEYS to JSON") as raised:
        QueueSettings()
    assert "short" not in str(raised.value)


def test_the_broker_is_redis_unless_another_one_is_named(monkeypatch):
    assert QueueSettings().broker_url == "redis://localhost:6379/0"
    monkeypatch.setenv("REDIS_URL", "rediss://cache:6380/1")
    assert QueueSettings().broker_url == "rediss://cache:6380/1"
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://rabbit/flows")
    assert QueueSettings().broker_url == "amqp://rabbit/flows"
    assert QueueSettings().redis_url == "rediss://cache:6380/1"


@pytest.mark.parametrize(("name", "value"), [("REDIS_URL", "amqp://x"), ("CELERY_BROKER_URL", "sqs://x")])
def test_a_broker_that_cannot_work_is_refused_at_once(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=f"Set {name} to redis://"):
        QueueSettings()
