"""Orchestrators that die on hosts with and without anybody else of ours, while a worker and beat run."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.liveness import is_lost
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from masterflow.scripts.embedded import EmbeddedRedis
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.orchestrators import Orchestrator
from tests.support.processes.workplace import Workplace
from tests.support.servers.guarded import ORCHESTRATOR, RoleUsers, new_keys

HOLDS = """
context = FlowContext(client_account_id="{account}", engagement_id="{engagement}", user_id="tester")
flow = tracker.create_progress_tracker("{flow}", context, flow_type="discovery")
with flow, tracker.phase("data_import"):
    time.sleep(600)
"""
SPOOL_OF_THE_WORKER = "spool-of-the-worker"


@pytest.fixture
def context() -> FlowContext:
    return new_context()


@pytest.fixture
def place(
    database_url: str, own_redis: EmbeddedRedis, role_users: RoleUsers, context: FlowContext, tmp_path: Path
) -> Iterator[Workplace]:
    place = Workplace(
        tmp_path / "place",
        database_url=database_url,
        redis_url=own_redis.url,
        ENRICHMENT_SPOOL_DIR=str(tmp_path / SPOOL_OF_THE_WORKER),
        **new_keys([context.client_account_id]),
    )
    place.roles = role_users.settings(own_redis.url)
    with place.worker("--concurrency", "2"), place.celery("beat"):
        yield place
    place.remove()


@pytest.fixture
def start(
    place: Workplace, context: FlowContext, tmp_path: Path
) -> Iterator[Callable[[str], tuple[UUID, Orchestrator]]]:
    """What starts an orchestrator that holds a flow, on a spool of this name."""
    started: list[Orchestrator] = []

    def start(spool: str) -> tuple[UUID, Orchestrator]:
        flow_id = place.new_flow(context)
        text = HOLDS.format(account=context.client_account_id, engagement=context.engagement_id, flow=flow_id)
        names = ("REDIS_URL", "CELERY_BROKER_URL", "ENRICHMENT_SIGNING_KEYS")
        settings = {name: place.environment_of(ORCHESTRATOR)[name] for name in names}
        settings["ENRICHMENT_SPOOL_DIR"] = str(tmp_path / spool)
        started.append(Orchestrator(tmp_path / f"{len(started)}", text, **settings))
        return flow_id, started[-1]

    yield start
    for orchestrator in started:
        orchestrator.process.signal_all(signal.SIGCONT)
        orchestrator.process.stop()


def lost(place: Workplace, flow_ids: set[UUID]) -> set[UUID]:
    rows = {flow_id: place.row(flow_id) for flow_id in flow_ids}
    return {one for one, row in rows.items() if is_lost(row["flow_status"], row["flow_metadata"])}


def held(place: Workplace, *, silent: bool = False) -> set[UUID]:
    """Return the flows whose holder has given a sign within 15 s, or has not."""
    ages: Any = place.redis.zrange(ALIVE_KEY, 0, -1, withscores=True)
    clock: Any = place.redis.time()
    fields: list[Any] = [
        place.redis.hkeys(holds_key(sender)) for sender, at in ages if (clock[0] - at > 15) is silent
    ]
    return {UUID(one) for found in fields for one in found if one}


def test_killed_orchestrators_lose_their_flows_within_seconds_and_no_others(
    place: Workplace, start: Callable[[str], tuple[UUID, Orchestrator]]
) -> None:
    chance = Random(17)
    beside = dict(start(SPOOL_OF_THE_WORKER) for _ in range(4))
    alone = dict(start(f"spool-{number}") for number in range(4))
    everybody = {*beside, *alone}
    eventually(lambda: held(place) == everybody, timeout_s=60)
    killed_beside = set(chance.sample(sorted(beside), 2))
    killed_alone = set(chance.sample(sorted(alone), 2))
    killed_at = time.monotonic()
    for flow_id in killed_beside | killed_alone:
        {**beside, **alone}[flow_id].process.signal(signal.SIGKILL)
    eventually(lambda: lost(place, everybody) == killed_beside, timeout_s=15)
    eventually(lambda: held(place, silent=True) == killed_alone, timeout_s=20)
    assert time.monotonic() - killed_at < 20
    assert lost(place, everybody) == killed_beside
    assert held(place) == everybody - killed_beside - killed_alone
