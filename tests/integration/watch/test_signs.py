import time
from collections.abc import Iterator
from threading import current_thread
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from sqlalchemy import make_url

from masterflow import tracker
from masterflow.domain.life.signs import OWN_FIELD, SIGN_INTERVAL_S
from masterflow.domain.redis_keys import holds_key
from masterflow.tasks.enqueue import BrokerUnavailable, QueueSettings
from masterflow.tracker.life.holdings import Holdings, process_holdings
from masterflow.tracker.life.signs import Signs
from masterflow.tracker.tracker import FlowProgressTracker
from tests.support.events.reported import CONTEXT
from tests.support.eventually import eventually
from tests.support.servers.partition import partition

HOLDER = "here-12-0123abcd"


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[FlowProgressTracker]:
    tracker.shutdown(0)
    process_holdings.renew()
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    # Nothing listens there: only this test gives signs.
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    yield FlowProgressTracker(uuid4(), CONTEXT)
    tracker.shutdown(0)


def test_what_a_sign_without_an_answer_brings_back_in_part_is_told_whole_again(redis_url, flow):
    address, key = make_url(redis_url), holds_key(HOLDER)
    with Redis.from_url(redis_url, decode_responses=True) as redis, partition(address.port or 0) as way, flow:
        through = address.set(port=way.port).render_as_string(hide_password=False)
        signs = Signs(QueueSettings.model_validate({"REDIS_URL": through}), HOLDER)
        now = time.monotonic()
        for number in range(2):
            signs.give(now + number * SIGN_INTERVAL_S)
        assert set(redis.hkeys(key)) == {OWN_FIELD, str(flow.flow_id)}
        way.cut()
        with pytest.raises(BrokerUnavailable):
            signs.give(now + 2 * SIGN_INTERVAL_S)
        redis.delete(key)  # The watch gives the process up.
        way.heal()
        eventually(lambda: redis.exists(key))
        assert set(redis.hkeys(key)) == {OWN_FIELD}
        signs.give(now + 3 * SIGN_INTERVAL_S)
        assert set(redis.hkeys(key)) == {OWN_FIELD, str(flow.flow_id)}
        signs.close(for_good=True)


def test_nobody_looks_through_what_is_held_before_a_sign_is_due(redis_url, flow, monkeypatch):
    looks, look = [], Holdings.flows

    def count(holdings):
        looks.append(current_thread())
        return look(holdings)

    monkeypatch.setattr(Holdings, "flows", count)
    signs, now = Signs(QueueSettings.model_validate({"REDIS_URL": redis_url}), HOLDER), time.monotonic()
    with Redis.from_url(redis_url) as redis, flow:
        for thousandth in range(1_000):
            signs.give(now + thousandth * SIGN_INTERVAL_S / 1_000)
        assert looks.count(current_thread()) == 1
        assert redis.exists(holds_key(HOLDER))
        signs.give(now + SIGN_INTERVAL_S)
        assert looks.count(current_thread()) == 2
        signs.close(for_good=True)
