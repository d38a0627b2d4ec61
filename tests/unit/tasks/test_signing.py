from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain import SettingsInvalid, SignatureInvalid
from masterflow.domain.signing.signer import Signer
from masterflow.tasks.batch import Batch, sign, verified
from masterflow.tasks.settings import QueueSettings

OURS, THEIRS = UUID(int=1), UUID(int=2)
SETTINGS = QueueSettings.model_validate(
    {
        "signing_keys": {
            str(OURS): {"new": "n" * 16, "old": "o" * 16},
            str(THEIRS): {"new": "t" * 16},
        }
    }
)
KEYS = SETTINGS.keys_of(OURS)
BATCH = Batch(batch_id="b", sender_id="s", client_account_id=str(OURS), events='[{"n":1}]')


def check(batch, settings=SETTINGS, *, later=timedelta()):
    return verified(batch, settings, now=datetime.now(UTC) + later)


def test_a_batch_is_signed_with_the_newest_key_and_accepted():
    assert check(sign(BATCH, KEYS)) == Signer(KEYS, "new")


def test_an_older_key_is_still_accepted_and_its_sender_is_answered_with_it():
    assert check(sign(BATCH, {"old": KEYS["old"]})) == Signer(KEYS, "old")


def test_without_keys_everything_is_accepted_and_nothing_signed():
    assert sign(BATCH, {}).signature is None
    for batch in (BATCH, sign(BATCH, {}), sign(BATCH, KEYS)):
        assert check(batch, QueueSettings()) == Signer()


def test_with_keys_an_unsigned_batch_is_refused():
    for batch in (BATCH, sign(BATCH, {})):
        with pytest.raises(SignatureInvalid, match="no signature"):
            check(batch)


def test_a_batch_of_an_account_without_keys_is_refused_once_others_have_some():
    with pytest.raises(SignatureInvalid, match="no key here"):
        check(replace(sign(BATCH, KEYS), client_account_id=str(UUID(int=3))))


@pytest.mark.parametrize(
    "change",
    [
        {"batch_id": "c"},
        {"sender_id": "t"},
        {"client_account_id": str(THEIRS)},
        {"events": '[{"n":2}]'},
        {"sent_at": 1},
        {"sent_at": None},
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
        check(replace(sign(BATCH, KEYS), **change))


@given(st.text(), st.text(), st.text())
def test_every_text_can_be_signed(batch_id, sender_id, events):
    check(sign(replace(BATCH, batch_id=batch_id, sender_id=sender_id, events=events), KEYS))


def test_a_batch_may_lie_on_the_broker_for_a_month_and_is_signed_anew_each_time_it_is_sent():
    signed = sign(BATCH, KEYS)
    check(signed, later=timedelta(days=30))
    with pytest.raises(SignatureInvalid, match="31 days ago"):
        check(signed, later=timedelta(days=32))
    again = sign(BATCH, KEYS)
    assert (again.sent_at or 0) > (signed.sent_at or 0)
    assert again.signature != signed.signature


def test_a_batch_that_was_signed_before_times_were_is_refused_and_says_so():
    old = replace(BATCH, key_id="new", signature="0" * 64)
    with pytest.raises(SignatureInvalid, match="update its sender"):
        check(old)


def test_the_keys_come_from_the_environment_and_never_show(monkeypatch):
    monkeypatch.setenv("ENRICHMENT_SIGNING_KEYS", f'{{"{OURS}": {{"new": "{"n" * 16}"}}}}')
    settings = QueueSettings()
    check(sign(BATCH, settings.keys_of(OURS)), settings)
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
