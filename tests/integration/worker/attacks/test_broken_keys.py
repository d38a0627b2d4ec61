"""What somebody does who puts other values into the places of our keys in Redis: it stops no worker."""

import time
from collections.abc import Callable
from uuid import uuid4

import pytest
import redis

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.tasks.celery.places import Places
from masterflow.tasks.counters import read_counters
from masterflow.tasks.enqueue import client_of
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

pytestmark = pytest.mark.alone

KEYS = (
    "alive",
    "backfill",
    "counters",
    "enrichment",
    "enrichment.dead",
    "outboxes",
    "parked",
    "signs",
    "skipped",
    "unacked",
    "unacked_index",
    "watch",
)

OF_KOMBU = ("backfill", "enrichment", "enrichment.dead", "unacked", "unacked_index")


@pytest.fixture
def place(make_workplace: Callable[[], Workplace]) -> Workplace:
    return make_workplace()


def broker_of(place: Workplace) -> redis.Redis:
    address = place.settings.broker.redis
    assert address is not None
    return client_of(address, place.settings)


def is_applied_soon(place: Workplace, context: FlowContext, *, within_s: float = 20.0) -> bool:
    """Return whether a batch is applied and confirmed, sent again like an outbox until it is."""
    flow_id, sender_id, batch_id = place.new_flow(context), uuid4().hex, str(uuid4())
    event, deadline = new_event(FlowRetried, context, flow_id), time.monotonic() + within_s
    broker = broker_of(place)
    while time.monotonic() < deadline:
        if broker.type(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}") in {"none", "list"}:
            place.publish([event], context, sender_id=sender_id, batch_id=batch_id)
        for _ in range(20):
            if place.row(flow_id)["retry_count"] == 1 and place.confirmations(sender_id):
                return True
            time.sleep(0.1)
    return False


def of_another_kind(place: Workplace) -> list[str]:
    """Return in which places there still is a text."""
    servers = (place.redis, broker_of(place))
    return [name for name in KEYS for each in servers if each.type(f"{KEY_PREFIX}{name}") == "string"]


@pytest.mark.parametrize("name", KEYS)
def test_another_kind_of_value_in_the_place_of_a_key_is_removed_and_counted(
    redis_url: str, name: str
) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.set(f"{KEY_PREFIX}{name}", "x")
        Places(client).put_right()
        assert client.exists(f"{KEY_PREFIX}{name}") == (name == "counters")
        assert read_counters(client)["forged:key"] == 1


@pytest.mark.long(but=["all-a broker apart"])
@pytest.mark.parametrize("is_apart", [False, True], ids=["one Redis", "a broker apart"])
@pytest.mark.parametrize("names", [KEYS, OF_KOMBU], ids=["all", "those of kombu"])
def test_a_worker_puts_all_places_right_by_itself_and_goes_on(
    make_workplace: Callable[..., Workplace],
    redis_url: str,
    context: FlowContext,
    names: tuple[str, ...],
    is_apart: bool,
) -> None:
    place = make_workplace(**({"CELERY_BROKER_URL": redis_url} if is_apart else {}))
    with place.worker() as worker:
        assert is_applied_soon(place, context)
        for name in names:
            (broker_of(place) if name in OF_KOMBU else place.redis).set(f"{KEY_PREFIX}{name}", "x")
        assert is_applied_soon(place, context, within_s=30)
        eventually(lambda: not of_another_kind(place), timeout_s=30)
        assert worker.is_running
        assert place.counters()["forged:key"] >= len(names)


def test_a_worker_that_starts_puts_all_places_right(place: Workplace, context: FlowContext) -> None:
    for name in KEYS:
        place.redis.set(f"{KEY_PREFIX}{name}", "x")
    with place.worker():
        assert is_applied_soon(place, context)


UNACKED = {
    "no JSON": "{",
    "nested deeply": "[" * 100_000,
    "of another form": "{}",
    "a number": "5",
    "without an address": '[{"a": 1}, null, null]',
    "of another kind inside": "[5, {}, []]",
    "a message that is none": '[{}, "", "enrichment"]',
    "without properties": '[{"properties": null}, "", "enrichment"]',
}


def test_what_somebody_puts_among_the_messages_that_workers_hold_ends_no_worker(
    place: Workplace, context: FlowContext
) -> None:
    with place.worker() as worker:
        for name, text in UNACKED.items():
            place.redis.hset(f"{KEY_PREFIX}unacked", name, text)
            place.redis.zadd(f"{KEY_PREFIX}unacked_index", {name: 1})
        place.redis.zadd(f"{KEY_PREFIX}unacked_index", {"nothing": 2})
        eventually(lambda: place.redis.zcard(f"{KEY_PREFIX}unacked_index") == 0, timeout_s=30)
        assert is_applied_soon(place, context)
        assert worker.is_running
        assert "Connection to broker lost" not in place.log.read_text()


@pytest.mark.parametrize("name", ["parked_lock", "watch_lock", "unacked_mutex"])
def test_a_lock_that_never_ends_is_taken_away(redis_url: str, name: str) -> None:
    key = f"{KEY_PREFIX}{name}"
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        places = Places(client)
        client.set(key, "1")
        for second in range(0, 100, 5):
            places.put_right(now_s=1000.0 + second)
        assert client.exists(key) == 0
        # One of ours is another one each time, or not there at one of the looks.
        client.set(key, "a")
        for second in range(0, 300, 5):
            client.set(key, str(second // 30)) if name == "unacked_mutex" else None
            if second % 60 == 0 and name != "unacked_mutex":
                client.delete(key)
                places.put_right(now_s=2000.0 + second)
                client.set(key, "a")
            places.put_right(now_s=2000.0 + second)
            assert client.exists(key) == 1


@pytest.mark.parametrize("name", ["parked_lock", "watch_lock", "unacked_mutex"])
def test_what_is_no_lock_at_all_is_taken_away_at_once(redis_url: str, name: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.lpush(f"{KEY_PREFIX}{name}", "x")
        Places(client).put_right()
        assert client.exists(f"{KEY_PREFIX}{name}") == 0
