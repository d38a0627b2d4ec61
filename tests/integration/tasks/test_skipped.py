from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis

from masterflow.domain import FlowContext
from masterflow.domain.events import AnyEvent, FlowRetried, StatusChanged, new_event
from masterflow.domain.redis_keys import SKIPPED_KEY, skipped_key
from masterflow.repository.redis import skipped as numbers
from masterflow.repository.redis.client import RedisLink
from masterflow.repository.redis.skipped import SkippedEvents, read_skipped, read_skipped_total
from masterflow.repository.settings import RedisSettings
from masterflow.tasks.delivery.skipped import note_skipped
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.status_site import StatusSite
from tests.support.processes.workplace import Workplace

MakeWorkplace = Callable[..., Workplace]

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def link(redis_url: str) -> RedisLink:
    return RedisLink(RedisSettings.model_validate({"REDIS_URL": redis_url}))


def retries(context: FlowContext, flow_id: UUID, count: int) -> list[AnyEvent]:
    return [new_event(FlowRetried, context, flow_id) for _ in range(count)]


async def counts(link: RedisLink, context: FlowContext, *flow_ids: UUID) -> list[SkippedEvents]:
    found = await read_skipped(
        link, context.client_account_id, dict.fromkeys(flow_ids, context.engagement_id)
    )
    return [found[flow_id] for flow_id in flow_ids]


@pytest.mark.anyio
async def test_skipped_events_are_counted_for_each_flow_of_each_tenant(
    redis: Redis, link: RedisLink, context: FlowContext
) -> None:
    one, two, other = uuid4(), uuid4(), new_context()
    note_skipped(redis, [*retries(context, one, 3), *retries(context, two, 1)], now=NOW)
    note_skipped(redis, [*retries(context, one, 2), *retries(other, one, 4)], now=NOW)
    assert [it.count for it in await counts(link, context, one, two, uuid4())] == [5, 1, 0]
    assert [it.count for it in await counts(link, other, one, two)] == [4, 0]
    total = await read_skipped_total(link)
    assert (total.events, total.last_at) == (10, NOW)
    for key in (SKIPPED_KEY, skipped_key(context.client_account_id, context.engagement_id)):
        assert 0 < redis.ttl(key) <= numbers.KEPT_S
    await link.close()


@pytest.mark.anyio
async def test_flows_beyond_the_bound_are_one_sum_and_then_others_say_that_they_may_lack_some(
    redis: Redis, link: RedisLink, context: FlowContext
) -> None:
    flow_ids = [uuid4() for _ in range(numbers.MOST_FLOWS)]
    for begin in range(0, len(flow_ids), 250):
        note_skipped(
            redis, [new_event(FlowRetried, context, it) for it in flow_ids[begin : begin + 250]], now=NOW
        )
    late, unknown = uuid4(), uuid4()
    assert await counts(link, context, late) == [SkippedEvents(0, is_floor=False)]
    for _ in range(2):
        note_skipped(redis, [*retries(context, late, 3), *retries(context, flow_ids[0], 1)], now=NOW)
    key = skipped_key(context.client_account_id, context.engagement_id)
    assert redis.hlen(key) == numbers.MOST_FLOWS + 1
    assert redis.hget(key, numbers.OTHER_FLOWS) == b"6"
    assert (redis.memory_usage(key) or 0) < 130_000
    found = await counts(link, context, flow_ids[0], flow_ids[-1], late, unknown)
    assert found == [
        SkippedEvents(3, is_floor=False),
        SkippedEvents(1, is_floor=False),
        SkippedEvents(0, is_floor=True),
        SkippedEvents(0, is_floor=True),
    ]
    await link.close()


def test_api_page_and_list_tell_what_a_worker_has_skipped_and_a_repetition_adds_nothing(
    make_workplace: MakeWorkplace, tmp_path: Path, context: FlowContext, database_url: str
) -> None:
    place = make_workplace(MASTER_STATE_ENRICHMENT_ENABLED="false")
    flow_id, whole, sender_id = place.new_flow(context), place.new_flow(context), uuid4().hex
    events = [*retries(context, flow_id, 12), new_event(StatusChanged, context, flow_id, status="paused")]
    other = context.model_copy(update={"client_account_id": uuid4()})
    with (
        place.worker(),
        StatusSite(tmp_path / "site", database_url=database_url, redis_url=place.settings.redis_url) as site,
    ):
        batch_id = place.publish(events, context, sender_id=sender_id)
        place.publish(events, context, sender_id=sender_id, batch_id=batch_id)
        place.publish(events, context, sender_id=sender_id)
        eventually(lambda: len(place.confirmations(sender_id)) == 2 and place.attempts(batch_id) == 2)
        status: Any = site.get(f"/api/v1/flows/{flow_id}/status", headers=site.bearer(context)).json()
        listed: Any = site.get("/api/v1/flows", headers=site.bearer(context)).json()["flows"]
        pages = [
            site.get(path, headers=site.bearer(context)).text for path in (f"/flows/{flow_id}", "/flows")
        ]
        sound = site.get(f"/flows/{whole}", headers=site.bearer(context)).text
        assert site.get("/api/v1/flows", headers=site.bearer(other)).json()["flows"] == []
    assert (status["status"], status["skipped_events"], status["at_least"]) == ("paused", 24, [])
    assert {it["flow_id"]: it["skipped_events"] for it in listed} == {str(flow_id): 24, str(whole): 0}
    assert all("24 events were skipped while enrichment was off." in page for page in pages)
    assert "while enrichment was off" not in sound
    assert place.counters()["skipped"] == 24
