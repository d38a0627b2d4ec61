"""Who shows a flow, lists, filters and counts it says the same of it, whatever signs and rows say."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations
from random import Random
from types import SimpleNamespace
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from redis import Redis

from masterflow.domain import FlowContext
from masterflow.domain.events import AnyEvent, FlowSeen, ProgressReported, StatusChanged, new_event
from masterflow.domain.life.deaths import lost_event
from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.signs import OWN_FIELD, Held, own_text
from masterflow.domain.liveness import Liveness
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.database import session_factory
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.redis.client import RedisLink
from masterflow.repository.redis.holders import read_holders
from masterflow.repository.settings import RedisSettings
from masterflow.repository.status.fleet import FleetRows
from masterflow.repository.status.wanted import FlowFilter
from masterflow.status.api.probes import _life_counts
from masterflow.status.fleet.book import FleetBook
from masterflow.status.fleet.overview import overview_of
from masterflow.status.manager import FlowStatusManager
from tests.support.events.flows import new_context, new_flow
from tests.support.servers.databases import engine_for

BEGIN = datetime.now(UTC) - timedelta(hours=1)
SENDERS = ("one-1-0123abcd", "two-2-0123abcd", "three-3-0123abcd")
ALL: tuple[Liveness, ...] = get_args(Liveness)
CHOICES = list(chain.from_iterable(combinations(ALL, count) for count in (1, 2, 3)))


@pytest.fixture
def signs(redis_url: str) -> Iterator[Any]:
    redis: Any = Redis.from_url(redis_url, decode_responses=True)
    redis.delete(ALIVE_KEY)
    yield redis
    redis.delete(ALIVE_KEY, *map(holds_key, SENDERS))
    redis.close()


def some_history(chance: Random, context: FlowContext, flow_id: UUID) -> list[AnyEvent]:
    """Return what was told of a flow: statuses, losses of each kind, returns, and progress."""
    events: list[AnyEvent] = []
    for _ in range(chance.randrange(6)):
        at = BEGIN + timedelta(seconds=chance.randrange(10))
        holder = chance.choice(SENDERS)
        match chance.randrange(5):
            case 0:
                status: Any = chance.choice(["processing", "active", *FLOW_STATUSES])
                events.append(new_event(StatusChanged, context, flow_id, occurred_at=at, status=status))
            case 1:
                events.append(new_event(FlowSeen, context, flow_id, occurred_at=at, holder=holder))
            case 2:
                snapshot = {"current_phase": "data_import"}
                events.append(
                    new_event(ProgressReported, context, flow_id, occurred_at=at, snapshot=snapshot)
                )
            case _:
                cause: Any = chance.choice(["witnessed", "goodbye", "silent"])
                held = HeldFlow(flow_id, context, None, 1)
                moment = int(at.timestamp() * 1e6)
                events.append(lost_event(held, cause=cause, holder=holder, moment=moment))
    return events


def give_some_signs(chance: Random, redis: Any, flows: dict[UUID, FlowContext], other: FlowContext) -> None:
    seconds, microseconds = redis.time()
    for sender_id in SENDERS:
        held = {
            # A process of another tenant may say that it holds anything.
            str(one): Held(HeldFlow(one, chance.choice([context, context, other]), None, 1)).text()
            for one, context in flows.items()
            if chance.random() < 0.5
        }
        own = own_text(host="host", pid=1, moment=1, sequence=1)
        redis.delete(holds_key(sender_id))
        redis.hset(holds_key(sender_id), mapping={OWN_FIELD: own, **held})
        age_s = chance.choice([1, 1, 30, 900])
        redis.zadd(ALIVE_KEY, {sender_id: seconds + microseconds / 1e6 - age_s})


async def in_the_fleet(service: Any, context: FlowContext) -> tuple[int, int | None]:
    """Return how many are lost and silent as the overview says."""
    book = FleetBook(FleetRows(service.sessions, context.client_account_id))
    await book.read_all()
    holders = await read_holders(service.redis)
    now = overview_of(book, {context.engagement_id}, window="hour", holders=holders).now
    return now.lost, now.silent


@pytest.mark.parametrize("seed", range(8))
async def test_a_flow_stands_the_same_in_its_view_in_lists_filters_and_metrics(
    seed: int, database_url: str, redis_url: str, signs: Any
) -> None:
    chance, context, other = Random(seed), new_context(), new_context()
    engine, link = engine_for(database_url), RedisLink(RedisSettings(redis_url=redis_url))
    sessions = session_factory(engine)
    service: Any = SimpleNamespace(redis=link, sessions=sessions)
    before = await _life_counts(service)
    assert before is not None
    flows = {uuid4(): context for _ in range(30)}
    async with sessions.begin() as session:
        for flow_id in flows:
            await new_flow(session, context, flow_id)
        await apply_events(session, [one for each in flows for one in some_history(chance, context, each)])
    give_some_signs(chance, signs, {**flows, uuid4(): context}, other)
    await link.close()
    link = service.redis = RedisLink(RedisSettings(redis_url=redis_url))
    async with sessions() as session:
        manager = FlowStatusManager(session, context, link)
        own = {each: (await manager.get_flow_status(each)).liveness for each in flows}
        listed = await manager.list_flows(limit=200)
        assert {flow.flow_id: flow.liveness for flow in listed.flows} == own
        for choice in CHOICES:
            found = await manager.list_flows(FlowFilter(liveness=choice), limit=200)
            assert {flow.flow_id: flow.liveness for flow in found.flows} == {
                flow_id: liveness for flow_id, liveness in own.items() if liveness in choice
            }
    counts = await _life_counts(service)
    assert counts is not None
    said = Counter(own.values())
    assert (counts.alive, counts.silent) == (said["alive"], said["silent"])
    assert counts.lost - before.lost == said["lost"]
    assert await in_the_fleet(service, context) == (said["lost"], said["silent"])
    assert set(said) >= {"lost"}, json.dumps({str(key): value for key, value in said.items()})
    await link.close()
    await engine.dispose()
