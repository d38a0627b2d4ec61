"""Whether beat and workers live, and what waits for them."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from redis import RedisError

from masterflow.repository.redis.client import RedisUnavailable, redis_link
from masterflow.repository.redis.gauges import HISTOGRAM_BOUNDS, WorkerGauges, read_gauges
from masterflow.scripts.broker import dead_letters
from masterflow.tasks.celery.idleness import idle_workers
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.enqueue import BrokerUnavailable, QueueSettings, queue_lengths
from masterflow.tasks.health import STALE_AFTER_S, consumption_of, life_of
from masterflow.tasks.heartbeats import BEAT
from masterflow.tasks.queues import BACKFILL_QUEUE, ENRICHMENT_QUEUE

#: More waiting batches than that are a backlog.
MOST_WAITING: Final = 1_000

_SLOW_S: Final = 60.0
_LONGEST_ROUND_S: Final = 60.0


def check_processes() -> list[CheckResult]:
    """Return what was found about beat, workers, queues and dead letters; nothing while Redis is away."""
    try:
        gauges = asyncio.run(_gauges())
    except RedisUnavailable:
        return []
    return [
        beat_result(gauges),
        watch_result(gauges),
        worker_result(gauges),
        *_consumption(gauges),
        *_queues(gauges),
        lag_result(gauges),
        *_dead(),
    ]


def beat_result(gauges: WorkerGauges) -> CheckResult:
    """Return whether beat lives."""
    return replace(life_of(BEAT, gauges.heartbeats.get(BEAT)), name="beat")


def watch_result(gauges: WorkerGauges) -> CheckResult:
    """Return whether the watch over flows makes its rounds; before the first one, beat's result says more."""
    if gauges.watch_age_s is None or gauges.watch_age_s <= _LONGEST_ROUND_S:
        return CheckResult("watch")
    found = (
        f"The watch has made no round for {gauges.watch_age_s:.0f} s, so nobody tells silent flows as lost"
    )
    return CheckResult("watch", "note", found, "see that beat and a worker of this version run")


def worker_result(gauges: WorkerGauges) -> CheckResult:
    """Return whether a worker lives, and which ones went silent within the last hour."""
    ages = {name: age_s for name, age_s in gauges.heartbeats.items() if name != BEAT}
    silent = sorted(name for name, age_s in ages.items() if age_s > STALE_AFTER_S)
    if len(silent) == len(ages):
        found = "No worker has shown a sign of life"
        return CheckResult("workers", "problem", found, "start one with `flowctl worker`")
    if silent:
        found = f"{', '.join(silent[:5])} went silent within the last hour"
        return CheckResult("workers", "note", found, "restart it, unless it was stopped on purpose")
    return CheckResult("workers")


def queue_result(gauges: WorkerGauges, lengths: Mapping[str, int]) -> CheckResult:
    """Return whether the queues, by their lengths, are short and no batch waits for its flow."""
    waiting = lengths[ENRICHMENT_QUEUE] + lengths[BACKFILL_QUEUE]
    if waiting > MOST_WAITING:
        found = f"{waiting} messages wait in the queues"
        return CheckResult("queue length", "problem", found, "start more workers")
    if gauges.parked:
        found = f"{gauges.parked} batches wait for a flow that has no row yet"
        return CheckResult(
            "queue length", "note", found, "see that create_master_flow is committed for each flow"
        )
    return CheckResult("queue length")


def lag_result(gauges: WorkerGauges) -> CheckResult:
    """Return how many of all events were applied over a minute after they happened."""
    counters = gauges.counters
    every = counters.get("lag_seconds:count", 0)
    slow = every - sum(
        counters.get(f"lag_seconds:le:{bound}", 0)
        for bound in HISTOGRAM_BOUNDS["lag_seconds"]
        if bound <= _SLOW_S
    )
    # Hundredths, for a restart or an outage leaves some.
    if slow * 100 <= every:
        return CheckResult("lag")
    found = f"{slow:.0f} of {every:.0f} events since the first start reached their row after a minute or more"
    return CheckResult("lag", "note", found, "start more workers if the queue grows while they run")


def _consumption(gauges: WorkerGauges) -> list[CheckResult]:
    living = [name for name, age_s in gauges.heartbeats.items() if name != BEAT and age_s <= STALE_AFTER_S]
    try:
        return [consumption_of(idle_workers(living))]
    except (BrokerUnavailable, RedisError):
        return []  # As the broker's own results say.


def _dead() -> list[CheckResult]:
    try:
        with dead_letters() as letters:
            count = letters.count()
    except BrokerUnavailable:
        return []
    if not count:
        return [CheckResult("dead letters")]
    found = f"{count} dead letters wait for a decision"
    advice = "look with `flowctl dead list`, then `flowctl dead replay` or `flowctl dead drop`"
    return [CheckResult("dead letters", "problem", found, advice)]


def _queues(gauges: WorkerGauges) -> list[CheckResult]:
    try:
        return [queue_result(gauges, queue_lengths(QueueSettings()))]
    except BrokerUnavailable:
        return []  # As the broker's own results say.


async def _gauges() -> WorkerGauges:
    async with redis_link() as link:
        return await read_gauges(link)
