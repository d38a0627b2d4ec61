import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.domain.events import AgentCollaborated, FlowRetried, ProgressReported
from masterflow.domain.redis_keys import OUTBOXES_KEY
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.batch import verified
from masterflow.tasks.enqueue import Batch, Publisher
from masterflow.tasks.settings import QueueSettings
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.process import process_delivery
from tests.support.eventually import eventually
from tests.support.processes.stub_worker import StubWorker
from tests.support.servers.black_hole import black_hole

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")
FLOW_ID = UUID(int=3)


@pytest.fixture
def spool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A spool of this test's own; what it reports is resent after 0.3 s."""
    tracker.shutdown(0)
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("ENRICHMENT_CONFIRM_TIMEOUT_S", "0.3")
    monkeypatch.setattr(process_delivery, "losses", Losses())
    yield tmp_path / "spool"
    tracker.shutdown(0)


@pytest.fixture
def broker(spool: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("REDIS_URL", redis_url)
    return redis_url


@pytest.fixture
def own_broker(spool: Path, own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> EmbeddedRedis:
    monkeypatch.setenv("REDIS_URL", own_redis.url)
    return own_redis


def say(count: int = 1, context: FlowContext = CONTEXT) -> list[str]:
    ids = [str(uuid4()) for _ in range(count)]
    for event_id in ids:
        tracker.report(AgentCollaborated, context, FLOW_ID, event_id=event_id, entry={"text": "x" * 200})
    return ids


def slowest_report_s(duration_s: float) -> float:
    """Report every millisecond for a while; return the longest time that it took."""
    slowest_s, end = 0.0, time.monotonic() + duration_s
    while time.monotonic() < end:
        started_at = time.perf_counter()
        tracker.report(FlowRetried, CONTEXT, FLOW_ID)
        slowest_s = max(slowest_s, time.perf_counter() - started_at)
        time.sleep(0.001)
    return slowest_s


def test_an_event_reaches_the_worker_and_leaves_the_outbox_when_it_is_confirmed(broker, spool):
    with StubWorker(broker) as worker:
        ids = say(3)
        assert tracker.flush(10)
    assert worker.event_ids == ids
    assert tracker.outbox_status()["pending_records"] == 0
    assert tracker.shutdown(5)
    assert list(spool.iterdir()) == []


def test_an_event_after_a_quiet_moment_leaves_at_once(broker):
    with StubWorker(broker) as worker:
        say()
        eventually(lambda: tracker.outbox_status()["pending_records"] == 0)
        started_at = time.monotonic()
        say()
        eventually(lambda: len(worker.batches) == 2)
        assert time.monotonic() - started_at < 0.2


def report_until(done: Callable[[], bool], *, within_s: float) -> bool:
    """Report 100 times a second until something is so; return whether it was in time."""
    end = time.monotonic() + within_s
    while not done() and time.monotonic() < end:
        say()
        time.sleep(0.01)
    return done()


def test_events_are_sent_at_a_short_pace_while_workers_keep_up(broker):
    with StubWorker(broker) as worker:
        assert report_until(lambda: len(worker.batches) >= 20, within_s=4)


def test_events_are_sent_in_few_messages_while_workers_do_not_keep_up(broker, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_CONFIRM_TIMEOUT_S", "30")
    monkeypatch.setattr("masterflow.tracker.outbox.window.WINDOW_BATCHES", 200)
    with StubWorker(broker, confirms=False) as worker:
        report_until(lambda: False, within_s=3)
        before = len(worker.batches)
        report_until(lambda: False, within_s=2)
        assert 2 <= len(worker.batches) - before <= 15
        # They keep up again, and so does the sender.
        worker.confirms = True
        for batch in worker.batches:
            worker.confirm(batch)
        before = len(worker.batches)
        assert report_until(lambda: len(worker.batches) >= before + 40, within_s=8)


def test_many_events_travel_in_few_messages(broker):
    with StubWorker(broker) as worker:
        ids = say(3_000)
        assert tracker.flush(30)
    assert sorted(worker.event_ids) == sorted(ids)
    assert len(worker.batches) < 60
    assert max(len(json.loads(batch.events)) for batch in worker.batches) > 100


def test_of_the_snapshots_in_a_message_the_newest_travels_and_all_count(broker):
    for number in range(60):
        tracker.report(ProgressReported, CONTEXT, FLOW_ID, snapshot={"progress": number})
    with StubWorker(broker) as worker:
        assert tracker.flush(10)
    for batch in worker.batches:
        assert len(json.loads(batch.events)) == 1
    assert json.loads(worker.batches[-1].events)[0]["snapshot"] == {"progress": 59}
    status = tracker.outbox_status()
    assert (status["reported"], status["confirmed"], status["lost"]) == (60, 60, {})


def test_a_batch_holds_one_client_account(broker):
    contexts = [CONTEXT.model_copy(update={"client_account_id": UUID(int=number)}) for number in range(4)]
    with StubWorker(broker) as worker:
        for number in range(40):
            say(context=contexts[number % 4])
        assert tracker.flush(10)
    for batch in worker.batches:
        accounts = {event["client_account_id"] for event in json.loads(batch.events)}
        assert accounts == {batch.client_account_id}
    assert len(set(worker.event_ids)) == 40


def test_what_waits_in_the_outbox_is_told_in_redis_until_it_is_confirmed(broker, monkeypatch):
    monkeypatch.setattr("masterflow.tracker.outbox.backlog._INTERVAL_S", 0.05)
    say(3)
    with redis.Redis.from_url(broker) as client:
        [name] = eventually(lambda: client.hkeys(OUTBOXES_KEY))

        def told():
            note = json.loads(client.hget(OUTBOXES_KEY, name))
            assert abs(note.pop("at") - time.time()) < 60
            return note

        eventually(lambda: told()["events"] == 3 and told()["oldest_at"])
        assert told()["bytes"] > 600
        assert time.time() - 60 < told()["oldest_at"] <= time.time()
        nothing_waits = {"events": 0, "bytes": 0, "lost": 0, "oldest_at": None, "forged": 0}
        with StubWorker(broker):
            assert tracker.flush(10)
            eventually(lambda: told() == nothing_waits)


def test_an_event_is_kept_and_sent_again_until_it_is_confirmed(broker, spool):
    with StubWorker(broker, confirms=False) as worker:
        [event_id] = say()
        eventually(lambda: len(worker.batches) >= 3)
        assert set(worker.event_ids) == {event_id}
        assert len({batch.batch_id for batch in worker.batches}) == 1
        assert not tracker.flush(0.1)
        worker.confirms = True
        assert tracker.flush(10)


def test_a_late_confirmation_counts(broker):
    with StubWorker(broker, confirms=False) as worker:
        say()
        eventually(lambda: worker.batches)
        worker.confirm(worker.batches[0])
        assert tracker.flush(10)


def test_a_queue_that_nobody_empties_does_not_fill_up_with_copies(broker, monkeypatch):
    monkeypatch.setattr("masterflow.tracker.outbox.window.WINDOW_BATCHES", 6)
    for number in range(8):
        say()
        eventually(partial(has_under_way, min(number + 1, 6)))
    with redis.Redis.from_url(broker) as client:
        eventually(lambda: client.llen("enrichment:enrichment") >= 6 + 3)
    assert tracker.outbox_status()["pending_records"] == 8
    with StubWorker(broker, confirms=False) as worker:
        eventually(lambda: len(worker.batches) >= 6 + 3)
        copies = Counter(batch.batch_id for batch in worker.batches)
        assert len(copies) == 6
        assert [batch_id for batch_id, count in copies.items() if count > 1] == [worker.batches[0].batch_id]
        worker.confirms = True
        assert tracker.flush(20)


def has_under_way(batches: int) -> bool:
    return bool(tracker.outbox_status()["batches_under_way"] >= batches)


def test_an_emptied_broker_heals_by_itself(broker):
    ids = say(50)
    client = redis.Redis.from_url(broker)
    eventually(
        lambda: client.llen("enrichment:enrichment") == tracker.outbox_status()["batches_under_way"] > 0
    )
    client.flushall()
    client.close()
    with StubWorker(broker) as worker:
        assert tracker.flush(10)
    assert set(worker.event_ids) == set(ids)


def test_a_worker_that_comes_late_gets_everything(broker):
    ids = say(100)
    assert not tracker.flush(0.2)
    with StubWorker(broker) as worker:
        assert tracker.flush(10)
    assert set(worker.event_ids) == set(ids)


def test_a_broker_that_is_absent_at_first_delays_nobody_and_loses_nothing(own_broker):
    own_broker.stop()
    ids = say(100)
    assert slowest_report_s(1.0) < 0.1
    own_broker.start()
    with StubWorker(own_broker.url) as worker:
        assert tracker.flush(15)
    assert set(ids) <= set(worker.event_ids)


def test_a_broker_that_restarts_delays_nobody_and_loses_nothing(own_broker):
    with StubWorker(own_broker.url) as worker:
        ids = say(100)
        own_broker.kill()
        ids += say(100)
        assert slowest_report_s(1.0) < 0.1
        own_broker.start()
        ids += say(100)
        assert tracker.flush(15)
    assert set(ids) <= set(worker.event_ids)
    assert tracker.outbox_status()["lost"] == {}


def test_a_broker_that_hangs_delays_nobody_and_loses_nothing(own_broker):
    with StubWorker(own_broker.url) as worker:
        say()
        assert tracker.flush(10)
        own_broker.pause()
        ids = say(100)
        assert slowest_report_s(2.0) < 0.1
        own_broker.resume()
        assert tracker.flush(15)
    assert set(ids) <= set(worker.event_ids)


def test_a_broker_that_is_full_delays_nobody_and_loses_nothing(own_broker):
    client = redis.Redis.from_url(own_broker.url)
    client.config_set("maxmemory", 1)
    ids = say(100)
    assert slowest_report_s(0.5) < 0.1
    client.config_set("maxmemory", 0)
    client.close()
    with StubWorker(own_broker.url) as worker:
        assert tracker.flush(15)
    assert set(ids) <= set(worker.event_ids)


def test_a_broker_behind_a_black_hole_delays_neither_hook_nor_flush_nor_shutdown(spool, monkeypatch):
    with black_hole() as port:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
        say(10)
        assert slowest_report_s(1.5) < 0.1
        started_at = time.monotonic()
        assert not tracker.flush(0.3)
        assert not tracker.shutdown(0.5)
        assert time.monotonic() - started_at < 2.0
    assert len(list(spool.iterdir())) == 1


def test_while_the_broker_is_away_this_is_logged_once(spool, monkeypatch, caplog):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    say()
    assert not tracker.flush(1.0)
    # Flows that tests before this one have left are told of by others.
    logged = [record.message[:38] for record in caplog.records if "outbox" in record.message]
    assert logged == ["The outbox waits for its broker; nothi"]


def test_a_malformed_queue_setting_is_logged_and_keeps_the_events(spool, monkeypatch, caplog):
    monkeypatch.setenv("CELERY_BROKER_URL", "ftp://files")
    say()
    eventually(lambda: "CELERY_BROKER_URL" in caplog.text)
    assert tracker.outbox_status()["pending_records"] == 1


def test_batches_are_signed_when_their_account_has_a_key(broker, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_SIGNING_KEYS", json.dumps({str(UUID(int=1)): {"key": "k" * 16}}))
    with StubWorker(broker) as worker:
        say()
        assert tracker.flush(10)
    assert verified(worker.batches[0], QueueSettings(), now=datetime.now(UTC)).key_id == "key"
    assert worker.batches[0].key_id == "key"


def test_a_flush_waits_only_for_what_was_reported_before_it(broker):
    is_over = threading.Event()

    def keep_saying() -> None:
        while not is_over.wait(0.001):
            say()

    with StubWorker(broker):
        thread = threading.Thread(target=keep_saying)
        thread.start()
        assert tracker.flush(10)
        is_over.set()
        thread.join()


def test_a_segment_that_vanishes_is_counted_and_the_rest_is_delivered(broker, spool, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_CONFIRM_TIMEOUT_S", "1.5")
    with StubWorker(broker, confirms=False) as worker:
        say(3)
        eventually(lambda: len(worker.event_ids) == 3)
        assert not tracker.flush(0)
        for path in spool.glob("*/detail-*.log"):
            if path.stat().st_size:
                path.unlink()
        worker.confirms = True
        later = say(3)
        eventually(lambda: set(later) <= set(worker.event_ids))
        eventually(lambda: tracker.outbox_status()["pending_records"] == 0)
    assert tracker.outbox_status()["lost"] == {"disk": 3}


def test_a_spool_that_somebody_removes_is_made_again(broker, spool):
    with StubWorker(broker) as worker:
        say()
        assert tracker.flush(10)
        shutil.rmtree(spool)
        say()
        eventually(lambda: spool.exists() and tracker.outbox_status()["pending_records"] == 0)
        assert tracker.outbox_status()["lost"] == {"disk": 1}
        later = say(3)
        assert tracker.flush(10)
    assert set(later) <= set(worker.event_ids)


def test_a_sender_that_fails_for_an_unknown_reason_goes_on(broker, monkeypatch, caplog):
    publish = Publisher.publish

    def fail_once(publisher: Publisher, batch: Batch) -> None:
        monkeypatch.setattr(Publisher, "publish", publish)
        raise RuntimeError("unheard of")

    monkeypatch.setattr(Publisher, "publish", fail_once)
    with StubWorker(broker) as worker:
        ids = say(3)
        assert tracker.flush(10)
    assert sorted(worker.event_ids) == sorted(ids)
    assert "The outbox cannot send now: RuntimeError: unheard of" in caplog.text
