import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.supervise.supervisor import children, send
from masterflow.tasks.delivery.loop import WorkerLoop
from masterflow.tasks.enqueue import BrokerUnavailable
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

MakeWorkplace = Callable[..., Workplace]


def retry(place: Workplace, context: FlowContext, flow_id: UUID, *, sender_id: str = "") -> str:
    """Send one retry of a flow, with which its count goes up by one."""
    return place.publish([new_event(FlowRetried, context, flow_id)], context, sender_id=sender_id)


def waiting(place: Workplace) -> int:
    return int(place.redis.llen(f"{KEY_PREFIX}{ENRICHMENT_QUEUE}"))


def held(place: Workplace) -> int:
    return int(place.redis.hlen(f"{KEY_PREFIX}unacked"))


def retries(place: Workplace, flow_id: UUID) -> int:
    return int(place.row(flow_id)["retry_count"])


@pytest.mark.long(but=["tasks per child", "solo"])
@pytest.mark.parametrize(
    "options",
    [
        ["--pool", "prefork", "--concurrency", "2", "--max-tasks-per-child", "2"],
        ["--pool", "prefork", "--concurrency", "2", "--max-memory-per-child", "1"],
        ["--pool", "threads", "--concurrency", "3"],
        ["--pool", "solo"],
    ],
    ids=["tasks per child", "memory per child", "threads", "solo"],
)
def test_every_pool_applies_batches(
    make_workplace: MakeWorkplace, context: FlowContext, options: list[str]
) -> None:
    place = make_workplace()
    flow_id = place.new_flow(context)
    with place.worker(*options):
        for _ in range(12):
            retry(place, context, flow_id)
        eventually(lambda: retries(place, flow_id) == 12, timeout_s=20)


def test_batches_wait_while_postgres_is_away_and_go_on_within_5_seconds_of_its_return(
    make_workplace: MakeWorkplace, own_postgres: EmbeddedPostgres, context: FlowContext
) -> None:
    place = make_workplace(own_postgres.url)
    flow_id = place.new_flow(context)
    with place.worker() as worker:
        retry(place, context, flow_id)
        eventually(lambda: retries(place, flow_id) == 1)
        [child] = children(worker.pid)
        own_postgres.stop()
        for _ in range(5):
            retry(place, context, flow_id, sender_id="sender")
        eventually(lambda: waiting(place) + held(place) == 5)
        time.sleep(3)
        assert (waiting(place) + held(place), place.confirmations("sender")) == (5, [])
        own_postgres.start()
        eventually(lambda: retries(place, flow_id) == 6, timeout_s=5)
        eventually(lambda: len(place.confirmations("sender")) == 5)
        assert children(worker.pid) == [child]
        for number in range(60):
            retry(place, context, flow_id)
            if number % 20 == 10:
                own_postgres.restart_immediate()
        eventually(lambda: retries(place, flow_id) == 66, timeout_s=20)
        assert place.letters() == []


@pytest.mark.long("SIGQUIT")
@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGQUIT], ids=["SIGTERM", "SIGQUIT"])
def test_a_worker_that_stops_while_it_waits_gives_its_message_back_at_once(
    make_workplace: MakeWorkplace,
    own_postgres: EmbeddedPostgres,
    context: FlowContext,
    stop_signal: signal.Signals,
) -> None:
    place = make_workplace(own_postgres.url)
    flow_id = place.new_flow(context)
    own_postgres.stop()
    with place.worker() as worker:
        message_id = retry(place, context, flow_id)
        eventually(lambda: place.is_begun(message_id))
        worker.signal(stop_signal)
        started = time.monotonic()
        worker.wait(20)
        assert time.monotonic() - started < 8
    assert waiting(place) == 1
    own_postgres.start()
    with place.worker():
        eventually(lambda: retries(place, flow_id) == 1)


@pytest.mark.long("SIGTERM")
@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGQUIT], ids=["SIGTERM", "SIGQUIT"])
def test_a_worker_that_stops_finishes_what_it_holds(
    make_workplace: MakeWorkplace, context: FlowContext, stop_signal: signal.Signals
) -> None:
    place = make_workplace()
    flow_id = place.new_flow(context)
    with place.worker() as worker:
        with place.database() as database, database.transaction():
            database.execute("select from migration.crewai_flow_state_extensions for update")
            message_id = retry(place, context, flow_id, sender_id="sender")
            eventually(lambda: place.is_begun(message_id))
            worker.signal(stop_signal)
            time.sleep(1)
        assert worker.wait(20) == 0
    assert retries(place, flow_id) == 1
    assert len(place.confirmations("sender")) == 1
    assert waiting(place) == 0


@pytest.mark.long("SIGQUIT")
@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGQUIT], ids=["SIGTERM", "SIGQUIT"])
def test_a_worker_that_stops_before_a_child_has_begun_waits_for_it(
    make_workplace: MakeWorkplace, context: FlowContext, stop_signal: signal.Signals
) -> None:
    place = make_workplace()
    flow_id = place.new_flow(context)
    with place.worker() as worker:
        retry(place, context, flow_id)
        eventually(lambda: (retries(place, flow_id), held(place)) == (1, 0))
        send(children(worker.pid), signal.SIGSTOP)
        retry(place, context, flow_id)
        eventually(lambda: place.log.read_text().count("] received") == 2)
        worker.signal(stop_signal)
        eventually(lambda: "Warm shutdown" in place.log.read_text())
        time.sleep(1)
        send(children(worker.pid), signal.SIGCONT)
        started = time.monotonic()
        assert worker.wait(60) == 0
        assert time.monotonic() - started < 15
    assert (retries(place, flow_id), waiting(place)) == (2, 0)


@pytest.mark.long
def test_a_busy_worker_survives_crashes_of_redis(
    make_workplace: MakeWorkplace, own_redis: EmbeddedRedis, context: FlowContext
) -> None:
    place = make_workplace()
    flow_id = place.new_flow(context)
    with place.worker("--concurrency", "2") as worker, stream_of_retries(place, context, flow_id):
        for _ in range(2):
            wait_for_more(place, flow_id, 50)
            own_redis.kill()
            time.sleep(1)
            own_redis.start()
            wait_for_more(place, flow_id, 10)
        assert worker.is_running


def wait_for_more(place: Workplace, flow_id: UUID, number: int) -> None:
    before = retries(place, flow_id)
    eventually(lambda: retries(place, flow_id) >= before + number)


@contextmanager
def stream_of_retries(place: Workplace, context: FlowContext, flow_id: UUID) -> Iterator[None]:
    """Send as many retries as the broker takes."""
    is_over = threading.Event()

    def send_all() -> None:
        while not is_over.is_set():
            with contextlib.suppress(BrokerUnavailable):
                retry(place, context, flow_id)

    thread = threading.Thread(target=send_all)
    thread.start()
    yield
    is_over.set()
    thread.join()


@pytest.mark.long
def test_a_worker_that_freezes_in_a_transaction_holds_up_the_others_only_for_a_while(
    make_workplace: MakeWorkplace, context: FlowContext
) -> None:
    place = make_workplace(ENRICHMENT_IDLE_TIMEOUT_S="2", ENRICHMENT_LOCK_TIMEOUT_S="1")
    flow_id = place.new_flow(context)
    with place.worker() as frozen:
        with place.database() as database, database.transaction():
            database.execute("select from migration.crewai_flow_state_extensions for update")
            retry(place, context, flow_id)
            eventually(lambda: is_waiting_for_a_lock(place))
            frozen.pause()
        with place.worker():
            retry(place, context, flow_id, sender_id="sender")
            assert eventually(lambda: place.confirmations("sender"), timeout_s=20)
        assert retries(place, flow_id) == 1
        frozen.resume()
        eventually(lambda: retries(place, flow_id) == 2, timeout_s=20)


def is_waiting_for_a_lock(place: Workplace) -> bool:
    query = "select from pg_stat_activity where application_name = %s and wait_event_type = 'Lock'"
    with place.database() as database:
        return bool(database.execute(query, ["enrichment-worker"]).fetchall())


@pytest.mark.parametrize(("set_s", "limit"), [("60", "15s"), ("3", "3s")])
def test_no_transaction_of_a_worker_may_do_nothing_for_longer_than_an_attempt_takes(
    monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str, set_s: str, limit: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("ENRICHMENT_IDLE_TIMEOUT_S", set_s)
    loop = WorkerLoop()

    async def ask(sessions: async_sessionmaker[AsyncSession]) -> Any:
        async with sessions() as session:
            return await session.scalar(text("show idle_in_transaction_session_timeout"))

    found = loop.run(ask)
    loop.close()
    assert found == limit


def test_a_worker_does_not_start_without_the_address_of_a_database(make_workplace: MakeWorkplace) -> None:
    place = make_workplace()
    with place.celery("worker", "--concurrency", "1", DATABASE_URL="") as worker:
        assert worker.wait(30) != 0
    assert "Set DATABASE_URL" in place.log.read_text()
