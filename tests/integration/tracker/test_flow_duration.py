import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
import redis

from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.process import process_delivery
from tests.support.eventually import eventually
from tests.support.processes.stub_worker import StubWorker
from tests.support.servers.black_hole import black_hole

# What takes a share of a flow's time is measured.
pytestmark = pytest.mark.alone

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")
STEPS = 40
RECORDS_OF_A_STEP = 2

Fault = Callable[[EmbeddedRedis, pytest.MonkeyPatch], Iterator[None]]


def nothing(_server: EmbeddedRedis, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    yield


def absent(server: EmbeddedRedis, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    server.stop()
    yield
    server.start()


def frozen(server: EmbeddedRedis, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    server.pause()
    yield
    server.resume()


def emptied(server: EmbeddedRedis, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    yield
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def full(server: EmbeddedRedis, _patch: pytest.MonkeyPatch) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


def black_holed(server: EmbeddedRedis, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with black_hole() as port:
        patch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
        yield
        tracker.shutdown(0)
    patch.setenv("REDIS_URL", server.url)
    tracker.adopt(whoever=True)  # The events were for the broker that never answered.


@pytest.fixture
def broker(
    own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[EmbeddedRedis]:
    tracker.shutdown(0)
    monkeypatch.setenv("REDIS_URL", own_redis.url)
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("ENRICHMENT_CONFIRM_TIMEOUT_S", "0.3")
    monkeypatch.setattr(process_delivery, "losses", Losses())
    yield own_redis
    tracker.shutdown(0)


async def run_flow(number: int) -> float:
    """Run a flow whose phases wait for others; return the share of its time that its hooks took."""
    progress = tracker.create_progress_tracker(UUID(int=number), CONTEXT)
    began, waited_s = time.perf_counter(), 0.0
    with progress:
        for _ in range(STEPS):
            with tracker.phase("data_import") as run:
                run.note(rows=500)
                asleep = time.perf_counter()
                await asyncio.sleep(0.02)
                waited_s += time.perf_counter() - asleep
    return 1 - waited_s / (time.perf_counter() - began)


@pytest.mark.long(but=["nothing", "frozen"])
@pytest.mark.parametrize("fault", [nothing, absent, frozen, emptied, full, black_holed])
def test_a_flow_takes_no_more_than_five_percent_longer_whatever_its_broker_does(broker, monkeypatch, fault):
    with contextmanager(fault)(broker, monkeypatch):
        # What waits for a broker waits each time, what waits for a busy machine does not.
        shares = [asyncio.run(run_flow(number)) for number in range(3)]
    assert min(shares) < 0.05
    with StubWorker(broker.url) as worker:
        eventually(lambda: len(set(worker.event_ids)) >= 3 * STEPS * RECORDS_OF_A_STEP, timeout_s=20)
    assert tracker.outbox_status()["lost"] == {}
