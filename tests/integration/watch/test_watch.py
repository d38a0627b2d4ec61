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
from masterflow.domain.life.holding import HOLDING
from masterflow.domain.life.signs import OWN_FIELD
from masterflow.domain.liveness import is_lost
from masterflow.domain.redis_keys import ALIVE_KEY, WATCH_KEY, WATCH_LOCK_KEY, holds_key
from masterflow.scripts.embedded import EmbeddedRedis
from tests.support.eventually import eventually
from tests.support.processes.orchestrators import Orchestrator
from tests.support.processes.workplace import Workplace

LOST_AFTER_S = 15
ROUNDS = LOST_AFTER_S // 5

HOLDS = """
context = FlowContext(client_account_id="{account}", engagement_id="{engagement}", user_id="tester")
flow = tracker.create_progress_tracker("{flow}", context, flow_type="discovery")
with flow:
    {lines}
"""
WAITS = 'with tracker.phase("data_import"):\n        print("begun", flush=True); time.sleep(60)'


@pytest.fixture
def place(make_workplace: Callable[..., Workplace], tmp_path: Path) -> Iterator[Workplace]:
    place = make_workplace(
        ENRICHMENT_SPOOL_DIR=str(tmp_path / "spool-of-the-worker"),
        ENRICHMENT_LOST_AFTER_S=str(LOST_AFTER_S),
        ENRICHMENT_FAIL_LOST_AFTER_S="0.1",
        ENRICHMENT_DEADLINES='{"discovery": {"phases": {"data_import": 0.2}}}',
    )
    with place.worker():
        yield place


@pytest.fixture
def start(place: Workplace, tmp_path: Path) -> Iterator[Callable[..., Orchestrator]]:
    """What starts an orchestrator that holds a flow, on a spool of its own unless it is told where."""
    started: list[Orchestrator] = []

    def start(flow_id: UUID, context: FlowContext, lines: str = WAITS, spool: str = "") -> Orchestrator:
        number = str(len(started))
        settings = {
            "REDIS_URL": place.environment["REDIS_URL"],
            "ENRICHMENT_SPOOL_DIR": str(tmp_path / (spool or f"spool-{number}")),
        }
        text = HOLDS.format(
            account=context.client_account_id, engagement=context.engagement_id, flow=flow_id, lines=lines
        )
        started.append(Orchestrator(tmp_path / number, text, **settings))
        return started[-1]

    yield start
    for orchestrator in started:
        orchestrator.process.signal_all(signal.SIGCONT)
        orchestrator.process.stop()


@pytest.fixture
def flow_id(place: Workplace, context: FlowContext) -> UUID:
    return place.new_flow(context)


def metadata(place: Workplace, flow_id: UUID) -> dict[str, Any]:
    return place.row(flow_id)["flow_metadata"] or {}


def is_row_lost(place: Workplace, flow_id: UUID) -> bool:
    row = place.row(flow_id)
    return is_lost(row["flow_status"], row["flow_metadata"])


def is_running(place: Workplace, flow_id: UUID) -> bool:
    return bool(place.row(flow_id)["flow_status"] == "processing" and place.redis.zcard(ALIVE_KEY))


def is_held_again(place: Workplace, flow_id: UUID) -> bool:
    senders: Any = place.redis.zrange(ALIVE_KEY, 0, -1)
    return any(place.redis.hexists(holds_key(sender), str(flow_id)) for sender in senders)


def rounds(place: Workplace) -> int:
    found: Any = place.redis.hget(WATCH_KEY, "rounds")
    return int(found or 0)


def is_over(place: Workplace, before: int) -> bool:
    return rounds(place) > before and not place.redis.exists(WATCH_LOCK_KEY)


def make_round(place: Workplace, times: int = 1) -> None:
    """Let the watch make rounds, without the time between them."""
    for _ in range(times):
        before = rounds(place)
        place.redis.hdel(WATCH_KEY, "round_at")
        place.send_task("watch.look")
        eventually(partial(is_over, place, before))


def test_a_worker_that_shares_the_spool_witnesses_a_kill(place, start, flow_id, context, tmp_path):
    orchestrator = start(flow_id, context, spool="spool-of-the-worker")
    eventually(lambda: is_running(place, flow_id), timeout_s=20)
    killed_at = time.monotonic()
    orchestrator.process.signal(signal.SIGKILL)
    eventually(lambda: is_row_lost(place, flow_id), timeout_s=15)
    assert time.monotonic() - killed_at < 15
    lost = metadata(place, flow_id)["lost"]
    assert lost["cause"] == "witnessed"
    assert lost["holder"].startswith(lost["host"])
    assert place.redis.zcard(ALIVE_KEY) == 0
    eventually(lambda: not list((tmp_path / "spool-of-the-worker").glob(f"*/{HOLDING}")), timeout_s=15)


def test_another_orchestrator_of_the_host_witnesses_a_kill(place, start, flow_id, context):
    other = place.new_flow(context)
    first = start(flow_id, context, spool="shared")
    start(other, context, spool="shared")
    eventually(lambda: is_running(place, flow_id) and is_running(place, other), timeout_s=20)
    first.process.signal(signal.SIGKILL)
    eventually(lambda: is_row_lost(place, flow_id), timeout_s=15)
    assert metadata(place, flow_id)["lost"]["cause"] == "witnessed"
    assert not is_row_lost(place, other)


def test_a_process_that_ends_with_its_flow_open_says_so(place, start, flow_id, context):
    lines = 'flow.begin("data_import")\nflow.begin("data_import")'
    assert start(flow_id, context, lines).wait(30) == 0
    eventually(lambda: is_row_lost(place, flow_id))
    assert metadata(place, flow_id)["lost"]["cause"] == "goodbye"
    assert place.redis.zcard(ALIVE_KEY) == 0


def test_a_flow_that_was_handed_over_is_not_lost(place, start, flow_id, context):
    lines = 'with tracker.phase("data_import"):\n        pass'
    assert start(flow_id, context, lines).wait(30) == 0
    eventually(lambda: place.row(flow_id)["phase_execution_times"])
    make_round(place, ROUNDS + 1)
    assert "lost" not in metadata(place, flow_id)


def test_a_silent_process_loses_its_flow_after_so_many_rounds_and_heals_it_when_it_is_back(
    place, start, flow_id, context
):
    orchestrator = start(flow_id, context)
    eventually(lambda: is_running(place, flow_id), timeout_s=20)
    make_round(place)
    orchestrator.process.signal(signal.SIGSTOP)
    make_round(place, ROUNDS - 1)
    assert not is_row_lost(place, flow_id)
    make_round(place, 2)
    assert is_row_lost(place, flow_id)
    lost = metadata(place, flow_id)["lost"]
    assert (lost["cause"], lost["phase"]) == ("silent", "data_import")
    orchestrator.process.signal(signal.SIGCONT)
    eventually(lambda: is_held_again(place, flow_id), timeout_s=15)
    make_round(place)
    assert not is_row_lost(place, flow_id)
    assert place.row(flow_id)["flow_status"] == "processing"


def test_flows_heal_that_a_process_tells_only_after_a_late_sign_has_brought_it_back(
    place, start, flow_id, context
):
    orchestrator = start(flow_id, context)
    eventually(lambda: is_running(place, flow_id), timeout_s=20)
    make_round(place)
    senders: Any = place.redis.zrange(ALIVE_KEY, 0, -1)
    [sender_id] = senders
    orchestrator.process.signal(signal.SIGSTOP)
    own: Any = place.redis.hget(holds_key(sender_id), OWN_FIELD)
    make_round(place, ROUNDS + 1)
    assert is_row_lost(place, flow_id)
    # The round that compares all rows, and would heal them anyway, is far off.
    place.redis.hset(WATCH_KEY, "rounds", 0)
    # What it sent before it was given up tells only what was new then.
    place.redis.hset(holds_key(sender_id), OWN_FIELD, own)
    place.redis.zadd(ALIVE_KEY, {sender_id: time.time()})
    make_round(place)
    assert is_row_lost(place, flow_id)
    place.redis.delete(holds_key(sender_id))  # So it tells all of it again.
    orchestrator.process.signal(signal.SIGCONT)
    eventually(lambda: is_held_again(place, flow_id), timeout_s=15)
    make_round(place)
    assert not is_row_lost(place, flow_id)


def test_an_emptied_redis_loses_no_flow(place, start, flow_id, context):
    start(flow_id, context)
    eventually(lambda: is_running(place, flow_id), timeout_s=20)
    make_round(place, ROUNDS)
    place.redis.flushall()
    make_round(place, ROUNDS + 1)
    assert not is_row_lost(place, flow_id)
    eventually(lambda: is_held_again(place, flow_id), timeout_s=15)


def test_of_many_beats_one_round_counts(place, start, flow_id, context):
    for _ in range(20):
        place.send_task("watch.look")
    eventually(lambda: rounds(place))
    place.send_task("watch.look")
    time.sleep(0.5)
    assert rounds(place) == 1


def test_a_phase_past_its_deadline_is_told_once(place, start, flow_id, context):
    start(flow_id, context)
    eventually(lambda: is_running(place, flow_id), timeout_s=20)

    def overdue() -> list[dict[str, Any]]:
        make_round(place)
        return list(metadata(place, flow_id).get("overdue", []))

    [entry] = eventually(overdue, timeout_s=20, interval_s=0.5)
    assert entry["phase"] == "data_import"
    make_round(place, 2)
    assert metadata(place, flow_id)["overdue"] == [entry]


def test_a_lost_flow_is_failed_where_that_is_wanted_and_brought_back_by_its_process(
    place, start, flow_id, context
):
    orchestrator = start(flow_id, context)
    eventually(lambda: is_running(place, flow_id), timeout_s=20)
    make_round(place)
    orchestrator.process.signal(signal.SIGSTOP)
    make_round(place, ROUNDS + 7)
    row = place.row(flow_id)
    assert row["flow_status"] == "failed"
    assert "ENRICHMENT_FAIL_LOST_AFTER_S" in json.dumps(row["error_history"])
    orchestrator.process.signal(signal.SIGCONT)
    eventually(lambda: is_held_again(place, flow_id), timeout_s=15)
    make_round(place)
    assert place.row(flow_id)["flow_status"] == "processing"
    assert metadata(place, flow_id)["failed_as_lost"] is None


def test_redis_that_is_away_costs_a_round_only(place, start, flow_id, context, own_redis: EmbeddedRedis):
    start(flow_id, context)
    eventually(lambda: is_running(place, flow_id), timeout_s=20)
    make_round(place)
    own_redis.kill()
    own_redis.start()
    eventually(lambda: place.redis.zcard(ALIVE_KEY), timeout_s=20)
    make_round(place)
    assert not is_row_lost(place, flow_id)
