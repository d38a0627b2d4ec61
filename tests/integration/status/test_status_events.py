import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, StatusChanged
from masterflow.repository.database import session_factory
from masterflow.repository.status.reads import FlowScope
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.status.api.event_stream import EventStream
from masterflow.status.live.changes import ChangeFeed, TooManyStreams
from masterflow.status.live.listeners import MOST_PENDING, Change, Listener
from tests.support.event_streams import event_reader
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import Sessions, flow_of, report
from tests.support.processes.status_site import PROBE_TOKEN, StatusSite
from tests.support.servers.databases import engine_for

_TABLE = "migration.crewai_flow_state_extensions"
_RETRIED: tuple[Any, dict[str, Any]] = (FlowRetried, {})


async def test_a_change_is_told_within_a_second_of_its_commit(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await flow_of(sessions, context)
    waits = []
    async with site.client(context) as client, event_reader(client) as reader:
        for count in range(1, 6):
            await report(sessions, context, flow_id, _RETRIED)
            committed_at = time.monotonic()
            event = await reader.flow(flow_id)
            waits.append(time.monotonic() - committed_at)
            assert event.data["retry_count"] == count
    assert sorted(waits)[2] < 1


async def test_a_new_flow_is_told_and_one_that_ends_and_goes_on_after_that(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    before = await flow_of(sessions, context, flow_status="processing")
    async with site.client(context) as client, event_reader(client) as reader:
        born = await flow_of(sessions, context)
        assert (await reader.flow(born)).data["status"] == "initialized"
        await report(sessions, context, before, (StatusChanged, {"status": "completed"}))
        assert (await reader.flow(before)).data["status"] == "completed"
        await report(sessions, context, before, _RETRIED)
        assert (await reader.flow(before)).data["retry_count"] == 1


async def test_a_change_that_commits_late_is_not_missed(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    slow, quick = await flow_of(sessions, context), await flow_of(sessions, context)
    touch = text(f"update {_TABLE} set updated_at = clock_timestamp() where flow_id = :flow")
    async with site.client(context) as client, event_reader(client) as reader:
        async with sessions.begin() as db:
            await db.execute(touch, {"flow": slow})
            await report(sessions, context, quick, _RETRIED)
            await reader.flow(quick)
        await reader.flow(slow)


async def test_only_what_the_token_allows_is_told(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    neighbour = context.model_copy(update={"engagement_id": uuid4()})
    own, other = await flow_of(sessions, context), await flow_of(sessions, neighbour)
    async with site.client(context) as client, event_reader(client) as reader:
        await report(sessions, neighbour, other, _RETRIED)
        await report(sessions, new_context(), await flow_of(sessions, new_context()))
        await report(sessions, context, own, _RETRIED)
        await reader.flow(own)
        assert {event.data["flow_id"] for event in reader.events if event.name == "flow"} == {str(own)}


async def test_one_flow_can_be_followed_also_when_it_ended_long_ago(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    ended = await flow_of(sessions, context, flow_status="completed")
    other = await flow_of(sessions, context)
    async with sessions.begin() as db:
        await db.execute(
            text(f"update {_TABLE} set created_at = now() - interval '1 day' where flow_id = :flow"),
            {"flow": ended},
        )
    path = f"/api/v1/flows/{ended}/events"
    async with site.client(context) as client, event_reader(client, path) as reader:
        await report(sessions, context, other, _RETRIED)
        await report(sessions, context, ended, _RETRIED)
        assert (await reader.next()).data["flow_id"] == str(ended)


async def test_who_comes_back_is_told_what_they_missed_and_nothing_twice(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    first, second = await flow_of(sessions, context), await flow_of(sessions, context)
    async with site.client(context) as client:
        async with event_reader(client) as reader:
            await report(sessions, context, first, _RETRIED)
            seen = await reader.flow(first)
        await report(sessions, context, second, _RETRIED)
        async with event_reader(client, last_event_id=seen.id) as reader:
            assert (await reader.next()).data["flow_id"] == str(second)


async def test_another_process_can_go_on_where_one_ended(
    tmp_path: Path,
    site: StatusSite,
    sessions: Sessions,
    context: FlowContext,
    site_and_database: Any,
    redis_url: str,
) -> None:
    flow_id = await flow_of(sessions, context, flow_status="completed")
    async with site.client(context) as client, event_reader(client) as reader:
        ready = reader.events[0]
    await report(sessions, context, flow_id, _RETRIED)
    with StatusSite(tmp_path, database_url=site_and_database[1], redis_url=redis_url) as other:
        async with other.client(context) as client, event_reader(client, last_event_id=ready.id) as reader:
            await reader.flow(flow_id)


@pytest.mark.parametrize("last_event_id", ["garbage", "a-1-1", "a-x-y", "a-1-999999999999999999999999"])
async def test_who_was_away_for_too_long_is_told_to_read_anew(
    site: StatusSite, context: FlowContext, last_event_id: str
) -> None:
    async with site.client(context) as client, event_reader(client, last_event_id=last_event_id) as reader:
        await reader.next("reset")


async def test_a_stream_ends_with_its_token(site: StatusSite, context: FlowContext) -> None:
    async with site.client(context, lifetime_s=2) as client, event_reader(client) as reader:
        await reader.next("expired")
        with pytest.raises(EOFError):
            await reader.next()


def metrics(site: StatusSite) -> str:
    return site.get("/metrics", headers={"Authorization": f"Bearer {PROBE_TOKEN}"}).text


async def test_listeners_are_told_that_postgres_is_away_and_back(
    tmp_path: Path, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, context: FlowContext
) -> None:
    engine = engine_for(own_postgres.url)
    sessions = session_factory(engine)
    flow_id = await flow_of(sessions, context)
    with StatusSite(tmp_path, database_url=own_postgres.url, redis_url=own_redis.url) as site:
        async with site.client(context) as client, event_reader(client) as reader:
            await asyncio.to_thread(own_postgres.stop)
            assert "does not answer" in (await reader.next("unavailable", timeout_s=20)).data["detail"]
            await asyncio.to_thread(own_postgres.start)
            await reader.next("available", timeout_s=20)
            await engine.dispose()
            await report(sessions, context, flow_id, _RETRIED)
            await reader.flow(flow_id)
    await engine.dispose()


async def test_listeners_are_told_that_redis_is_away_and_back_also_those_who_come_meanwhile(
    tmp_path: Path,
    own_redis: EmbeddedRedis,
    site_and_database: tuple[StatusSite, str],
    sessions: Sessions,
    context: FlowContext,
) -> None:
    flow_id = await flow_of(sessions, context)
    with StatusSite(tmp_path, database_url=site_and_database[1], redis_url=own_redis.url) as own:
        async with own.client(context) as client, event_reader(client) as reader:
            await asyncio.to_thread(own_redis.stop)
            told = await reader.next("unavailable")
            assert told.data["server"] == "redis"
            assert "Redis does not answer" in told.data["detail"]
            async with event_reader(client) as late:
                assert (await late.next("unavailable")).data == told.data
            await report(sessions, context, flow_id, _RETRIED)
            await reader.flow(flow_id)
            await asyncio.to_thread(own_redis.start)
            assert (await reader.next("available")).data == {"server": "redis"}


def change_of(number: int) -> Change:
    summary: Any = SimpleNamespace(flow_id=uuid4(), engagement_id=uuid4())
    return Change(number, str(number), summary, uuid4(), b"event: flow\n\n")


async def test_for_a_slow_listener_only_the_newest_change_of_a_flow_waits() -> None:
    listener = Listener(FlowScope(uuid4(), frozenset()))
    change = change_of(1)
    for _ in range(MOST_PENDING * 2):
        listener.offer(change)
    texts = listener.texts(lasts_s=60)
    assert (await anext(texts)).startswith(b"retry:")
    assert await anext(texts) == change.text
    for number in range(MOST_PENDING * 3):
        listener.offer(change_of(number))
    assert len(listener._pending) == 0
    with pytest.raises(StopAsyncIteration):
        await anext(texts)


async def test_a_client_that_takes_nothing_is_cut() -> None:
    left: list[str] = []
    stack = AsyncExitStack()
    stack.callback(left.append, "left")
    stream = EventStream(Listener(FlowScope(uuid4(), frozenset())), stack, lasts_s=60, send_timeout_s=0.05)
    never = asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await never.wait()

    async def receive() -> Any:
        await never.wait()

    await asyncio.wait_for(stream({"type": "http"}, receive, send), 5)
    assert left == ["left"]


async def test_no_account_takes_all_streams(sessions: Sessions) -> None:
    feed = ChangeFeed(sessions, most=3, most_per_account=2)
    async with AsyncExitStack() as stack:
        account = FlowScope(uuid4(), frozenset({uuid4()}))
        for _ in range(2):
            await stack.enter_async_context(feed.listening(account))
        with pytest.raises(TooManyStreams):
            await stack.enter_async_context(feed.listening(account))
        await stack.enter_async_context(feed.listening(FlowScope(uuid4(), frozenset({uuid4()}))))
        with pytest.raises(TooManyStreams):
            await stack.enter_async_context(feed.listening(FlowScope(uuid4(), frozenset({uuid4()}))))
    assert feed.open_streams == 0
