"""Signs of life where signing keys are set: without them nobody makes a flow lost, late or alive."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.signs import OWN_FIELD, Held, own_text
from masterflow.domain.liveness import is_lost
from masterflow.domain.redis_keys import ALIVE_KEY, COUNTERS_KEY, WATCH_KEY, WATCH_LOCK_KEY, holds_key
from masterflow.repository.redis.client import RedisLink
from masterflow.repository.redis.holders import Holder, read_holders
from masterflow.repository.settings import RedisSettings
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.orchestrators import Orchestrator
from tests.support.processes.workplace import Workplace

LOST_AFTER_S = 15
EVE = "host-1-eve"

HOLDS = """
context = FlowContext(client_account_id="{account}", engagement_id="{engagement}", user_id="tester")
flow = tracker.create_progress_tracker("{flow}", context, flow_type="discovery")
with flow, tracker.phase("data_import"):
    print("begun", flush=True); time.sleep(120)
"""


@pytest.fixture
def other() -> FlowContext:
    return new_context()


@pytest.fixture
def keys(context: FlowContext, other: FlowContext) -> dict[str, dict[str, str]]:
    return {
        str(context.client_account_id): {"our": "n" * 32},
        str(other.client_account_id): {"their": "t" * 32},
    }


@pytest.fixture
def place(make_workplace: Callable[..., Workplace], tmp_path: Path, keys: Any) -> Iterator[Workplace]:
    place = make_workplace(
        ENRICHMENT_SPOOL_DIR=str(tmp_path / "spool-of-the-worker"),
        ENRICHMENT_LOST_AFTER_S=str(LOST_AFTER_S),
        ENRICHMENT_SIGNING_KEYS=json.dumps(keys),
    )
    with place.worker():
        yield place


@pytest.fixture
def start(place: Workplace, tmp_path: Path, keys: Any) -> Iterator[Callable[..., Orchestrator]]:
    """What starts an orchestrator with the keys of its account that holds a flow, on a spool of its own."""
    started: list[Orchestrator] = []

    def start(flow_id: UUID, context: FlowContext) -> Orchestrator:
        account = str(context.client_account_id)
        settings = {
            "REDIS_URL": place.environment["REDIS_URL"],
            "ENRICHMENT_SPOOL_DIR": str(tmp_path / f"spool-{len(started)}"),
            "ENRICHMENT_SIGNING_KEYS": json.dumps({account: keys[account]}),
        }
        text = HOLDS.format(account=account, engagement=context.engagement_id, flow=flow_id)
        started.append(Orchestrator(tmp_path / str(len(started)), text, **settings))
        eventually(lambda: sender_of(place, flow_id), timeout_s=30)
        return started[-1]

    yield start
    for orchestrator in started:
        orchestrator.process.signal_all(signal.SIGCONT)
        orchestrator.process.stop()


def sender_of(place: Workplace, flow_id: UUID) -> str | None:
    """Return who has told that it holds a flow."""
    senders: Any = place.redis.zrange(ALIVE_KEY, 0, -1)
    return next((one for one in senders if place.redis.hexists(holds_key(one), str(flow_id))), None)


def rounds(place: Workplace) -> int:
    found: Any = place.redis.hget(WATCH_KEY, "rounds")
    return int(found or 0)


def is_over(place: Workplace, before: int) -> bool:
    return rounds(place) > before and not place.redis.exists(WATCH_LOCK_KEY)


def hurry(place: Workplace, times: int = 1) -> None:
    """Let the watch make rounds without the time between them, as somebody may who has only Redis."""
    for _ in range(times):
        before = rounds(place)
        place.redis.hdel(WATCH_KEY, "round_at")
        place.send_task("watch.look")
        eventually(partial(is_over, place, before))


def is_row_lost(place: Workplace, flow_id: UUID) -> bool:
    row = place.row(flow_id)
    return is_lost(row["flow_status"], row["flow_metadata"])


def claim(flow_id: UUID, context: FlowContext) -> str:
    return Held(HeldFlow(flow_id, context, "discovery", 1), "data_import", flow_deadline_at=1).text()


def forge(place: Workplace, flow_id: UUID, context: FlowContext, sequence: int = 1) -> None:
    """Tell, without a key, that a process holds the flow, and that the flow is late."""
    own = own_text(
        host="host", pid=1, moment=time.time_ns() // 1000, sequence=sequence, at_ms=time.time_ns() // 10**6
    )
    place.redis.hset(holds_key(EVE), mapping={OWN_FIELD: own, str(flow_id): claim(flow_id, context)})
    place.redis.zadd(ALIVE_KEY, {EVE: time.time()})


def refused(place: Workplace) -> float:
    found: Any = place.redis.hget(COUNTERS_KEY, "forged:sign")
    return float(found or 0)


async def holders_of(place: Workplace, flow_id: UUID, keys: Any) -> list[Holder]:
    """Return who holds a flow, as an API sees it that has these keys."""
    settings = {"REDIS_URL": place.environment["REDIS_URL"], "ENRICHMENT_SIGNING_KEYS": json.dumps(keys)}
    link = RedisLink(RedisSettings.model_validate(settings))
    try:
        return (await read_holders(link)).of(flow_id)
    finally:
        await link.close()


async def test_an_unsigned_sign_is_ignored_counted_and_removed(place, context, keys):
    flow_id = place.new_flow(context)
    forge(place, flow_id, context)
    assert await holders_of(place, flow_id, keys) == []
    assert len(await holders_of(place, flow_id, {})) == 1
    hurry(place)
    assert "overdue" not in (place.row(flow_id)["flow_metadata"] or {})
    assert refused(place) == 1
    assert not place.redis.exists(ALIVE_KEY, holds_key(EVE))
    for number in range(4):
        forge(place, flow_id, context, sequence=1 + number // 4)
        hurry(place)
    assert not is_row_lost(place, flow_id)


async def test_what_a_process_with_keys_tells_counts_and_what_others_add_to_it_does_not(
    place, start, context, keys
):
    flow_id, victim = place.new_flow(context), place.new_flow(context)
    start(flow_id, context)
    [holder] = await holders_of(place, flow_id, keys)
    hurry(place, 2)
    assert refused(place) == 0
    place.redis.hset(holds_key(holder.sender_id), str(victim), claim(victim, context))
    assert await holders_of(place, victim, keys) == []
    hurry(place)
    assert refused(place) == 1
    assert "overdue" not in (place.row(victim)["flow_metadata"] or {})
    # Its process notices that what it told is gone, and tells it again.
    eventually(lambda: sender_of(place, flow_id), timeout_s=15)
    assert sender_of(place, victim) is None
    assert await holders_of(place, flow_id, keys)


async def test_nobody_without_a_key_hurries_the_loss_of_a_flow_or_keeps_a_dead_one_alive(
    place, start, context, keys
):
    flow_id = place.new_flow(context)
    orchestrator = start(flow_id, context)
    sender_id = sender_of(place, flow_id)
    assert sender_id is not None
    eventually(lambda: place.row(flow_id)["flow_status"] == "processing", timeout_s=20)
    # Rounds without the time between them, and a silence of which the watch is said to know.
    hurry(place, 6)
    own = json.loads(str(place.redis.hget(holds_key(sender_id), OWN_FIELD)))
    place.redis.hset(WATCH_KEY, f"sender:{sender_id}", f"{own['sequence']}:1000:1:{own['moment']}")
    hurry(place)
    assert not is_row_lost(place, flow_id)
    orchestrator.process.signal(signal.SIGKILL)
    last: Any = place.redis.hgetall(holds_key(sender_id))
    deadline = time.monotonic() + 4 * LOST_AFTER_S
    while not is_row_lost(place, flow_id):
        assert time.monotonic() < deadline
        place.redis.hset(holds_key(sender_id), mapping=last)
        place.redis.zadd(ALIVE_KEY, {sender_id: time.time() + 60})
        for holder in await holders_of(place, flow_id, keys):
            assert holder.age_s >= time.time() - json.loads(last[OWN_FIELD])["at"] / 1000 - 2
        hurry(place)
        await asyncio.sleep(1)
    assert place.row(flow_id)["flow_metadata"]["lost"]["cause"] == "silent"


async def test_a_sign_from_before_that_is_told_again_is_refused(place, start, context, keys):
    flow_id = place.new_flow(context)
    start(flow_id, context)
    sender_id = sender_of(place, flow_id)
    assert sender_id is not None
    first: Any = place.redis.hgetall(holds_key(sender_id))
    hurry(place)
    eventually(
        lambda: place.redis.hget(holds_key(sender_id), OWN_FIELD) not in {None, first[OWN_FIELD]},
        timeout_s=15,
    )
    hurry(place)
    before = refused(place)
    place.redis.hset(holds_key(sender_id), mapping=first)
    hurry(place)
    assert refused(place) == before + 1
    eventually(lambda: sender_of(place, flow_id), timeout_s=15)


def test_a_process_of_another_account_holds_nothing_of_ours(place, start, context, other, keys):
    flow_id = place.new_flow(context)
    start(flow_id, other)  # As the flow of its own account, with a key of that.
    before = place.row(flow_id)["flow_metadata"]
    hurry(place, 3)
    assert refused(place) == 0
    assert place.row(flow_id)["flow_metadata"] == before


def test_what_is_no_text_costs_no_round(place, context):
    flow_id = place.new_flow(context)
    forge(place, flow_id, context)
    place.redis.hset(holds_key(EVE), b"\xff", b"\xff")
    place.redis.hset(holds_key(EVE), OWN_FIELD, b'{"host": "\xff", "pid": 1, "moment": 1, "sequence": 1}')
    place.redis.zadd(ALIVE_KEY, {b"\xfe": time.time()})
    place.redis.hset(
        WATCH_KEY, mapping={f"sender:{EVE}": "a:b:c:d", "rounds": "many", "sender:x": "1:" + "9" * 5_000}
    )
    before = place.redis.hget(WATCH_KEY, "round_at")
    place.send_task("watch.look")
    eventually(lambda: place.redis.hget(WATCH_KEY, "round_at") != before)
    assert not place.redis.exists(holds_key(EVE))
