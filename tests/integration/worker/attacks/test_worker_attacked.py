"""What somebody does to a worker with access to Redis and the broker, and without a key."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery

from masterflow import tracker
from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import FLAG_KEY, KEY_PREFIX, WATCH_KEY, answers_key, attempt_key
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.tasks.backfill.task import Chunk
from masterflow.tasks.batch import Batch, sign
from masterflow.tasks.celery.runs import signed_run
from masterflow.tasks.enqueue import Publisher, QueueSettings
from masterflow.tasks.queues import APPLY_CHUNK, BACKFILL_QUEUE, ENRICHMENT_QUEUE, queue, transport_options
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

pytestmark = pytest.mark.alone

CONTEXT = new_context()
TENANT = {name: str(value) for name, value in CONTEXT.model_dump().items()}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def place(attacked: tuple[Workplace, SupervisedProcess]) -> Workplace:
    return attacked[0]


def retry(place: Workplace, flow_id: UUID, *, batch_id: str = "", sender_id: str = "") -> str:
    event = new_event(FlowRetried, CONTEXT, flow_id)
    return place.publish([event], CONTEXT, batch_id=batch_id, sender_id=sender_id)


def is_applied(place: Workplace, flow_id: UUID) -> bool:
    return bool(place.row(flow_id)["retry_count"] == 1)


def send(place: Workplace, name: str, *, queue_name: str = ENRICHMENT_QUEUE, **options: Any) -> str:
    """Send a task with options of Celery, as a program that knows no more than the broker and the queue."""
    stranger = Celery("stranger", broker=place.settings.broker_url, set_as_current=False)
    stranger.conf.broker_transport_options = transport_options(place.settings)
    with stranger.connection_for_write() as connection:
        declared: Any = queue(queue_name, place.settings.broker_url)
        kwargs = {"flow_id": str(uuid4()), **TENANT}
        message = stranger.amqp.as_task_v2(
            str(uuid4()), name, kwargs=options.pop("kwargs", kwargs), **options
        )
        with stranger.amqp.Producer(connection) as producer:
            stranger.amqp.send_task_message(producer, name, message, queue=declared)
    return str(message.headers["id"])


OPTIONS: dict[str, dict[str, Any]] = {
    "a countdown": {"countdown": 3_600},
    "a time far ahead": {"eta": FAR_AHEAD},
    "an expiry in the past": {"expires": LONG_AGO},
    "an expiry": {"expires": 3_600},
    "a link": {"callbacks": [{"task": "enrichment.add_error_entry"}]},
    "an error link": {"errbacks": [{"task": "enrichment.add_error_entry"}]},
    "a chain": {"chain": [{"task": "enrichment.add_error_entry"}]},
    "a chord": {"chord": {"task": "enrichment.add_error_entry"}},
    "retries": {"retries": 3},
    "another name": {"shadow": "enrichment.apply_events\nforged"},
}


@pytest.mark.parametrize("name", ["enrichment.increment_retry_count", APPLY_CHUNK])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_what_no_sender_of_ours_asks_of_celery_is_kept_with_the_reason(
    place: Workplace, options: dict[str, Any], name: str
) -> None:
    task_id = send(place, name, **options)
    [letter] = eventually(lambda: [each for each in place.letters() if each.batch_id == task_id])
    assert letter.reason == "option_refused"
    assert "without countdown, eta, expires" in letter.error
    assert "flow_id" in str(letter.event)


def test_100_messages_for_the_year_2999_keep_a_worker_from_nothing(place: Workplace) -> None:
    before = place.counters().get("dead:option_refused", 0)
    for _ in range(100):
        send(place, "enrichment.increment_retry_count", eta=FAR_AHEAD)
    flow_id = place.new_flow(CONTEXT)
    retry(place, flow_id)
    eventually(lambda: is_applied(place, flow_id), timeout_s=20)
    eventually(lambda: place.counters().get("dead:option_refused", 0) == before + 100)


def test_a_periodic_run_that_comes_too_late_is_counted(place: Workplace) -> None:
    before = place.counters().get("expired", 0)
    kwargs = signed_run("backfill.run", place.settings.worker_keys, valid_s=60)
    send(place, "backfill.run", queue_name=BACKFILL_QUEUE, kwargs=kwargs, expires=LONG_AGO)
    eventually(lambda: place.counters().get("expired", 0) == before + 1)


def rounds(place: Workplace) -> int:
    found: Any = place.redis.hget(WATCH_KEY, "rounds")
    return int(found or 0)


@pytest.mark.parametrize("name", ["backfill.run", "watch.look"])
def test_what_beat_alone_sends_is_refused_from_others_and_counted(place: Workplace, name: str) -> None:
    before, letters, seen = place.counters().get("forged:run", 0), [], rounds(place)
    another = {"watch.look": "backfill.run", "backfill.run": "watch.look"}[name]
    keys, foreign = place.settings.worker_keys, place.settings.keys_of(CONTEXT.client_account_id)
    forged = [
        {},
        {"proof": {"until": 1, "key_id": "workers", "signature": "00"}},
        {"proof": "workers"},
        signed_run(name, foreign, valid_s=60),
        signed_run(another, keys, valid_s=60),
        signed_run(name, keys, valid_s=-400),
    ]
    letters = [send(place, name, queue_name=BACKFILL_QUEUE, kwargs=kwargs) for kwargs in forged]
    eventually(lambda: {*letters} <= {one.batch_id for one in place.letters()})
    assert {one.reason for one in place.letters() if one.batch_id in letters} == {"signature_invalid"}
    assert place.counters()["forged:run"] == before + len(forged)
    assert rounds(place) == seen


def test_what_beat_sent_is_taken_once_whoever_sends_it_again(place: Workplace) -> None:
    with place.celery("beat"):
        seen = rounds(place)
        eventually(lambda: rounds(place) > seen, timeout_s=20)
    kwargs = signed_run("watch.look", place.settings.worker_keys, valid_s=600)
    before, seen = place.counters().get("forged:run", 0), rounds(place)
    for _ in range(3):
        place.redis.hdel(WATCH_KEY, "round_at")
        send(place, "watch.look", kwargs=kwargs)
    eventually(lambda: place.counters().get("forged:run", 0) == before + 2)
    eventually(lambda: rounds(place) == seen + 1)


@pytest.mark.parametrize(
    "name", ["celery.map", "celery.group", "celery.chord_unlock", "celery.backend_cleanup"]
)
def test_tasks_of_celery_itself_are_not_run(place: Workplace, name: str) -> None:
    task_id = send(place, name)
    [letter] = eventually(lambda: [each for each in place.letters() if each.batch_id == task_id])
    assert letter.reason == "unknown_task"


NOTES = {
    "lost 99 times": '{"first_seen": 0, "tries": 99, "lost": 99}',
    "with a proof of nothing": '{"first_seen": 0, "tries": 99, "lost": 99, "key_id": "own", "proof": "00"}',
    "garbage": "first_seen",
    "nested": "[" * 300,
    "huge": "9" * 1_000_000,
    "of other kinds": '{"first_seen": "x", "tries": null, "lost": [], "committed": 5}',
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_a_forged_note_of_tries_has_no_signed_batch_set_aside(place: Workplace, note: str) -> None:
    flow_id, batch_id = place.new_flow(CONTEXT), str(uuid4())
    place.redis.set(attempt_key(batch_id), note)
    retry(place, flow_id, batch_id=batch_id)
    eventually(lambda: is_applied(place, flow_id))


def test_another_kind_of_value_in_the_place_of_the_note_does_no_harm(place: Workplace) -> None:
    flow_id, batch_id = place.new_flow(CONTEXT), str(uuid4())
    place.redis.hset(attempt_key(batch_id), "lost", 99)
    retry(place, flow_id, batch_id=batch_id)
    eventually(lambda: is_applied(place, flow_id))


def test_a_batch_that_waits_for_its_row_is_not_given_up_early(place: Workplace) -> None:
    flow_id, batch_id, sender_id = uuid4(), str(uuid4()), uuid4().hex
    forged = {"first_seen": 0, "tries": 1, "lost": 0}
    place.redis.set(attempt_key(batch_id), json.dumps(forged))
    retry(place, flow_id, batch_id=batch_id, sender_id=sender_id)
    eventually(lambda: place.attempts(batch_id) >= 1)
    assert place.confirmations(sender_id) == []
    place.new_flow(CONTEXT, flow_id)
    [confirmation] = eventually(lambda: place.confirmations(sender_id), timeout_s=20)
    assert (confirmation["applied"], confirmation["dead"]) == (1, 0)


def test_another_tenants_flow_is_waited_for_as_if_there_were_none(place: Workplace) -> None:
    flow_ids = [place.new_flow(new_context()), uuid4()]
    senders, batches = [uuid4().hex, uuid4().hex], [str(uuid4()), str(uuid4())]
    for flow_id, sender_id, batch_id in zip(flow_ids, senders, batches, strict=True):
        retry(place, flow_id, batch_id=batch_id, sender_id=sender_id)
    eventually(lambda: all(place.attempts(batch_id) >= 1 for batch_id in batches))
    assert [place.confirmations(sender_id) for sender_id in senders] == [[], []]
    assert [letter for letter in place.letters() if letter.batch_id in batches] == []


def test_a_forged_flag_switches_nothing_off(place: Workplace) -> None:
    place.redis.set(FLAG_KEY, "off")
    try:
        time.sleep(2.5)  # longer than a worker remembers the flag
        flow_id, sender_id = place.new_flow(CONTEXT), uuid4().hex
        retry(place, flow_id, sender_id=sender_id)
        [confirmation] = eventually(lambda: place.confirmations(sender_id))
        assert confirmation["applied"] == 1
        assert is_applied(place, flow_id)
        assert place.counters()["forged:flag"] >= 1
    finally:
        place.redis.delete(FLAG_KEY)


def test_a_chunk_that_no_operator_signed_does_nothing(place: Workplace) -> None:
    before = place.counters().get("forged:chunk", 0)
    for proof in ({}, {"sent_at": 1, "key_id": "workers", "signature": "00"}):
        kwargs = {"flow_ids": [str(uuid4())], "repair_status": True, "report_to": "me", **proof}
        send(place, APPLY_CHUNK, queue_name=BACKFILL_QUEUE, kwargs=kwargs)
    eventually(lambda: place.counters().get("forged:chunk", 0) == before + 2)
    assert not place.redis.exists("enrichment:backfill:me")


def test_a_chunk_of_the_operators_is_worked_off(place: Workplace) -> None:
    report_to = uuid4().hex
    chunk = Chunk(flow_ids=[uuid4()], report_to=report_to).signed(place.settings.worker_keys)
    send(place, APPLY_CHUNK, queue_name=BACKFILL_QUEUE, kwargs=chunk.model_dump(mode="json"))
    eventually(lambda: place.redis.exists(f"enrichment:backfill:{report_to}"))


def test_what_was_signed_for_a_month_ago_is_refused_and_nothing_else_is(place: Workplace) -> None:
    flow_id = place.new_flow(CONTEXT)
    old = int((datetime.now(UTC) - timedelta(days=32)).timestamp() * 1_000_000)
    batch = Batch(
        batch_id=str(uuid4()),
        sender_id="",
        client_account_id=str(CONTEXT.client_account_id),
        events=f"[{new_event(FlowRetried, CONTEXT, flow_id).model_dump_json()}]",
        sent_at=old,
    )
    signed = sign(batch, place.settings.keys_of(CONTEXT.client_account_id))
    values = {"REDIS_URL": place.settings.redis_url, "CELERY_BROKER_URL": place.settings.broker_url}
    stranger = Publisher(QueueSettings.model_validate(values))
    stranger.publish(signed)
    stranger.close()
    [letter] = eventually(lambda: [each for each in place.letters() if each.batch_id == batch.batch_id])
    assert "31 days ago" in letter.error
    place.publisher.publish(replace(batch, sent_at=None))
    eventually(lambda: is_applied(place, flow_id))


@pytest.fixture
def reporting(place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as an orchestrator of the place, with its account's key."""
    tracker.shutdown(0)
    for name in ("REDIS_URL", "CELERY_BROKER_URL", "ENRICHMENT_SIGNING_KEYS"):
        if name in place.environment:
            monkeypatch.setenv(name, place.environment[name])
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("ENRICHMENT_CONFIRM_TIMEOUT_S", "1")
    yield
    tracker.shutdown(0)
    place.redis.delete(FLAG_KEY)


def attack(place: Workplace, is_over: threading.Event, tried: Counter[str]) -> None:
    """Forge confirmations, notes of tries and the flag, and broadcast, while others work."""
    told = {"applied": 1, "repeated": 0, "dead": 0, "key_id": "own", "proof": "0" * 64}
    app = Celery("stranger", broker=place.settings.broker_url, set_as_current=False)
    app.conf.broker_transport_options = transport_options(place.settings)
    while not is_over.is_set():
        place.redis.set(FLAG_KEY, "off")
        send(place, "enrichment.increment_retry_count", eta=FAR_AHEAD)
        send(place, "enrichment.increment_retry_count", expires=LONG_AGO)
        known: list[str] = [key.rsplit(":", 1)[-1] for key in place.redis.scan_iter(attempt_key("*"))]
        senders = [key.split(":", 2)[-1] for key in place.redis.scan_iter(f"{KEY_PREFIX}answers:*")]
        for batch_id in known[:200]:
            place.redis.set(attempt_key(batch_id), '{"first_seen": 0, "tries": 99, "lost": 99}')
            tried["notes"] += 1
            for sender_id in senders:
                place.redis.hset(answers_key(sender_id), batch_id, json.dumps(told))
                place.redis.rpush(f"{KEY_PREFIX}confirmed:{sender_id}", json.dumps({"batch_id": batch_id}))
                tried["confirmations"] += 1
        if known:
            app.control.revoke(known, terminate=True)
        app.control.broadcast("shutdown")
        tried["rounds"] += 1


@pytest.mark.long("rabbitmq")
def test_while_all_of_that_goes_on_each_event_arrives_once(place: Workplace, reporting: None) -> None:
    flow_id, is_over, tried = place.new_flow(CONTEXT), threading.Event(), Counter[str]()
    attacker = threading.Thread(target=attack, args=(place, is_over, tried))
    attacker.start()
    try:
        for _ in range(30):
            tracker.report(FlowRetried, CONTEXT, flow_id)
            time.sleep(0.01)
        eventually(lambda: tried["notes"] and tried["confirmations"] and tried["rounds"] > 1, timeout_s=30)
        for _ in range(30):
            tracker.report(FlowRetried, CONTEXT, flow_id)
    finally:
        is_over.set()
        attacker.join()
    assert tracker.flush(30)
    assert place.row(flow_id)["retry_count"] == 60
    assert tracker.outbox_status()["lost"] == {}
