"""What somebody can do who reaches Redis and has no key: take nothing from anybody's outbox."""

import base64
import json
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.domain.events import AgentCollaborated
from masterflow.domain.redis_keys import KEY_PREFIX, answers_key
from masterflow.domain.signing.signer import Signer
from masterflow.tasks.batch import sign
from masterflow.tasks.confirmations import write_confirmation
from masterflow.tasks.enqueue import Awaited, Batch, ConfirmationInbox
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from masterflow.tasks.settings import QueueSettings
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.process import process_delivery
from tests.support.eventually import eventually
from tests.support.processes.stub_worker import StubWorker

ACCOUNT = UUID(int=1)
CONTEXT = FlowContext(client_account_id=ACCOUNT, engagement_id=UUID(int=2), user_id="ann")
FLOW_ID = UUID(int=3)
COUNTS = {"applied": 1, "repeated": 0, "dead": 0}

FORGERIES: dict[str, dict[str, Any]] = {
    "without a proof": COUNTS,
    "as it was told before there were proofs": {"batch_id": "x"},
    "with a proof of nothing": {**COUNTS, "key_id": "key", "proof": "0" * 64},
    "with a key that is none": {**COUNTS, "key_id": "other", "proof": "0" * 64},
    "with a proof of another kind": {**COUNTS, "key_id": ["key"], "proof": {"a": 1}},
    "with numbers that are none": {"applied": "1", "repeated": None, "dead": []},
}


@pytest.fixture
def client(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["redis.Redis"]:
    """An orchestrator with a key whose batches come again after 0.5 s, and what the attacker reaches."""
    tracker.shutdown(0)
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("ENRICHMENT_CONFIRM_TIMEOUT_S", "0.5")
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("ENRICHMENT_SIGNING_KEYS", json.dumps({str(ACCOUNT): {"key": "k" * 16}}))
    monkeypatch.setattr(process_delivery, "losses", Losses())
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
    tracker.shutdown(0)


def report(count: int) -> set[str]:
    event_ids = {str(uuid4()) for _ in range(count)}
    for event_id in event_ids:
        tracker.report(AgentCollaborated, CONTEXT, FLOW_ID, event_id=event_id, entry={"text": "x"})
    return event_ids


def stolen(client: "redis.Redis") -> list[dict[str, Any]]:
    """Take every message off the queue; return the tasks' arguments."""
    found: Any = client.lpop(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}", 1_000)
    bodies = []
    for message in map(json.loads, found or ()):
        body = base64.b64decode(message["body"])
        bodies.append(zlib.decompress(body) if message["headers"].get("compression") else body)
    return [json.loads(body)[1] for body in bodies]


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_confirmation_erases_nothing(
    client: "redis.Redis", caplog: pytest.LogCaptureFixture, forged: dict[str, Any]
) -> None:
    event_ids = report(3)
    batches = eventually(lambda: stolen(client))
    for batch in batches:
        sender_id, batch_id = batch["sender_id"], batch["batch_id"]
        client.hset(answers_key(sender_id), batch_id, json.dumps(forged))
        client.rpush(f"{KEY_PREFIX}confirmed:{sender_id}", json.dumps({"batch_id": batch_id, **COUNTS}))
    eventually(lambda: "prove nothing" in caplog.text)
    time.sleep(0.5)
    status = tracker.outbox_status()
    assert (status["pending_records"], status["lost"]) == (3, {})
    with StubWorker(os.environ["REDIS_URL"]) as worker:
        assert tracker.flush(10)
    assert set(worker.event_ids) == event_ids


JUNK = {
    "deeply nested": "[" * 900,
    "nested beyond reason": "[" * 100_000,
    "no JSON": "\x00{",
    "a text": '"x"',
    "a list": "[1]",
    "flows that are none": json.dumps({"missing": ["\x1b[31m", 5, None, {}]}),
    "huge": "1" * 1_000_000,
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_takes_no_genuine_confirmation_along(
    client: "redis.Redis", junk: str, caplog: pytest.LogCaptureFixture
) -> None:
    report(1)
    [first] = eventually(lambda: stolen(client))
    client.hset(answers_key(first["sender_id"]), first["batch_id"], junk)
    report(1)
    with StubWorker(os.environ["REDIS_URL"]):
        assert tracker.flush(10)
    assert "\x1b" not in caplog.text


def test_200_000_junk_confirmations_delay_no_genuine_one(client: "redis.Redis") -> None:
    report(1)
    [batch] = eventually(lambda: stolen(client))
    answer = json.dumps({**COUNTS, "key_id": "key", "proof": "0" * 64})
    for start in range(0, 200_000, 20_000):
        junk: Any = {str(UUID(int=number)): answer for number in range(start, start + 20_000)}
        client.hset(answers_key(batch["sender_id"]), mapping=junk)
        client.rpush(f"{KEY_PREFIX}confirmed:{batch['sender_id']}", *junk.values())
    with StubWorker(os.environ["REDIS_URL"]):
        started = time.monotonic()
        assert tracker.flush(30)
        assert time.monotonic() - started < 5
    eventually(lambda: client.exists(answers_key(batch["sender_id"])) == 0)


def test_something_else_in_the_place_of_the_answers_is_removed(client: "redis.Redis") -> None:
    report(1)
    [batch] = eventually(lambda: stolen(client))
    client.set(answers_key(batch["sender_id"]), "x")
    with StubWorker(os.environ["REDIS_URL"]):
        assert tracker.flush(10)


def test_a_confirmation_proves_one_batch_with_these_bytes_and_numbers_to_one_sender(
    client: "redis.Redis",
) -> None:
    settings = QueueSettings()
    keys = settings.keys_of(ACCOUNT)
    batch = sign(
        Batch(batch_id=str(uuid4()), sender_id="me", client_account_id=str(ACCOUNT), events="[1]"), keys
    )
    inbox, proving = ConfirmationInbox(settings, "me"), Signer(keys, "key")

    def is_believed(told: Batch, *, signer: Signer = proving, **tampered: Any) -> bool:
        write_confirmation(client, told, signer, counts=COUNTS)
        answer: Any = client.hget(answers_key(told.sender_id), told.batch_id)
        client.delete(answers_key(told.sender_id))
        client.hset(answers_key("me"), batch.batch_id, json.dumps({**json.loads(answer), **tampered}))
        return inbox.receive([Awaited.of(batch)]) == {"me": [batch.batch_id]}

    assert is_believed(batch)
    assert not is_believed(replace(batch, batch_id=str(uuid4())))
    assert not is_believed(replace(batch, sender_id="me.again"))
    assert not is_believed(replace(batch, events="[2]"))
    assert not is_believed(replace(batch, client_account_id=str(UUID(int=9))))
    assert not is_believed(batch, dead=1)
    assert not is_believed(batch, proof="")
    assert not is_believed(batch, signer=Signer())
    assert inbox.forged == 7
    inbox.close()


def test_a_confirmation_that_comes_while_others_are_fetched_is_not_removed_unread(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, key = json.dumps(COUNTS), answers_key("s")
    inbox = ConfirmationInbox(QueueSettings.model_validate({"REDIS_URL": os.environ["REDIS_URL"]}), "s")
    awaited = [Awaited(str(UUID(int=number)), str(uuid4()), ("s",), lambda _: None) for number in (1, 2)]
    client.hset(key, awaited[0].batch_id, answer)
    ask = inbox._ask

    def ask_and_be_told(command: str, keys: Any) -> list[int]:
        found = ask(command, keys)
        if command == "hstrlen":
            client.hset(key, awaited[1].batch_id, answer)
        return found

    monkeypatch.setattr(inbox, "_ask", ask_and_be_told)
    assert inbox.receive(awaited) == {"s": [batch.batch_id for batch in awaited]}
    assert not client.exists(key)
    inbox.close()
