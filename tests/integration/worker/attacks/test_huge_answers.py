"""What somebody does who puts half a gigabyte where we read: it costs the command, and no memory."""

import tracemalloc
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from masterflow.domain import FlowContext
from masterflow.domain.life.signs import OWN_FIELD, own_text
from masterflow.domain.redis_keys import ALIVE_KEY, OUTBOXES_KEY, PARKED_KEY, WATCH_KEY, holds_key, told_key
from masterflow.repository.redis.client import RedisLink, RedisUnavailable
from masterflow.repository.redis.holders import read_holders
from masterflow.repository.settings import RedisSettings
from masterflow.tasks.counters import read_counters
from masterflow.tasks.delivery.parking import park, release_due
from masterflow.tasks.enqueue import AnswerTooLarge, QueueSettings, redis_client
from masterflow.tasks.heartbeats import forget_silent_outboxes
from masterflow.tasks.watch.rounds import next_round
from masterflow.tracker.control.inbox import ControlInbox
from masterflow.tracker.control.registry import ControlRegistry

NOW = datetime.now(UTC)
#: Of which three make more than one answer may have.
LARGE = "x" * 6_000_000
HUGE = LARGE * 3


@pytest.fixture
def settings(redis_url: str) -> QueueSettings:
    return QueueSettings.model_validate({"REDIS_URL": redis_url})


@pytest.fixture
def redis(settings: QueueSettings) -> Redis:
    return redis_client(settings)


class Log:
    def __init__(self) -> None:
        self.topics: list[str] = []

    def warning(self, topic: str, text: str, *values: object) -> None:
        self.topics.append(topic)


def test_a_huge_value_ends_its_command_and_not_the_connection_s_use(redis: Redis) -> None:
    redis.setrange("huge", 300_000_000, "x")
    redis.ping()
    tracemalloc.start()
    try:
        for ask in (partial(redis.get, "huge"), redis.pipeline(transaction=False).get("huge").execute):
            with pytest.raises(AnswerTooLarge):
                ask()
            assert redis.ping()
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


def test_answers_count_together_in_a_pipeline_and_apart_without_one(redis: Redis) -> None:
    redis.set("large", LARGE)
    for _ in range(4):
        assert len(str(redis.get("large"))) == len(LARGE)
    with pytest.raises(AnswerTooLarge):
        redis.pipeline(transaction=False).get("large").get("large").get("large").execute()


@pytest.mark.anyio
async def test_an_api_is_as_careful(redis: Redis, redis_url: str) -> None:
    redis.setrange("huge", 300_000_000, "x")
    redis.set("small", "x")
    link = RedisLink(RedisSettings.model_validate({"REDIS_URL": redis_url}))
    try:
        assert await link.ask(lambda client: client.get("small")) == b"x"
        tracemalloc.start()
        with pytest.raises(RedisUnavailable, match="AnswerTooLarge"):
            await link.ask(lambda client: client.get("huge"))
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
        await link.close()


def test_a_huge_parked_message_keeps_no_other_from_being_released(redis: Redis) -> None:
    redis.zadd(PARKED_KEY, {HUGE: 1})
    message = {"task": "enrichment.apply_events", "message_id": "1", "kwargs": {}}
    later, sent = datetime(2999, 1, 1, tzinfo=UTC), list[Any]()
    release_due(redis, sent.append, now=NOW)
    assert read_counters(redis)["forged:parked"] == 1
    assert park(redis, message, now=NOW, waited_s=0)
    redis.delete("enrichment:parked_lock")
    assert release_due(redis, sent.append, now=later) == 1


def test_a_huge_word_of_a_stream_is_passed_over_and_the_next_is_heard(
    redis: Redis, settings: QueueSettings, context: FlowContext
) -> None:
    registry, log, flow_id = ControlRegistry(), Log(), uuid4()
    _alive = registry.control_of(context, flow_id)
    inbox = ControlInbox(settings, registry, log)
    key = told_key(context.client_account_id, context.engagement_id)
    redis.xadd(key, {"flow_id": str(flow_id), "message": HUGE})
    inbox.receive()
    assert log.topics == ["control"]
    redis.xadd(key, {"flow_id": str(flow_id), "message": "none"})
    inbox._poll_at, inbox._backoff = 0.0, type(inbox._backoff)()
    inbox.receive()
    # It was read, and is no word of a worker.
    assert log.topics == ["control", "control"]
    inbox.close()


def tell(redis: Redis, sender_id: str, **fields: str) -> None:
    moment = int(NOW.timestamp() * 1e6)
    own = own_text(host="host", pid=1, moment=moment, sequence=1)
    for name, text in {OWN_FIELD: own, **fields}.items():
        redis.hset(holds_key(sender_id), name, text)
    redis.zadd(ALIVE_KEY, {sender_id: NOW.timestamp()})


def test_a_huge_sign_hides_no_other(redis: Redis) -> None:
    for number in range(25):
        tell(redis, f"honest-{number}")
    tell(redis, "eve", x=HUGE)
    with next_round(redis, {}) as seen:
        assert seen is not None
        assert {one.sender_id for one in seen.holders if one.sign} == {f"honest-{each}" for each in range(25)}
    assert not redis.exists(holds_key("eve"))
    assert read_counters(redis)["forged:sign"] == 1


@pytest.mark.anyio
async def test_a_sign_that_is_too_large_for_an_api_hides_all_until_the_watch_has_removed_it(
    redis: Redis, redis_url: str
) -> None:
    tell(redis, "eve", **{f"x{number}": LARGE for number in range(11)})
    link = RedisLink(RedisSettings.model_validate({"REDIS_URL": redis_url}))
    try:
        with pytest.raises(RedisUnavailable):
            await read_holders(link)
    finally:
        await link.close()
    with next_round(redis, {}):
        pass
    assert not redis.exists(holds_key("eve"))


@pytest.mark.parametrize("key", [WATCH_KEY, ALIVE_KEY])
def test_what_is_too_large_for_the_watch_is_removed_and_the_next_round_is_made(
    redis: Redis, key: str
) -> None:
    tell(redis, "honest")
    if key == ALIVE_KEY:
        redis.zadd(key, {HUGE: 1})
    else:
        redis.hset(key, "x", HUGE)
    with pytest.raises(AnswerTooLarge), next_round(redis, {}):
        pass
    tell(redis, "honest")
    with next_round(redis, {}) as seen:
        assert seen is not None
        assert [one.sender_id for one in seen.holders] == ["honest"]


def test_a_huge_note_of_an_outbox_is_removed(redis: Redis) -> None:
    redis.hset(OUTBOXES_KEY, "eve", HUGE)
    with pytest.raises(AnswerTooLarge):
        forget_silent_outboxes(redis)
    forget_silent_outboxes(redis)
    assert not redis.exists(OUTBOXES_KEY)
