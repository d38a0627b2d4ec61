"""What machines ask: whether this process lives, whether it can work, and its metrics."""

import asyncio
from collections import Counter
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric

from masterflow.domain import DatabaseUnavailable
from masterflow.repository.redis.client import RedisUnavailable
from masterflow.repository.redis.gauges import WorkerGauges, read_gauges
from masterflow.repository.redis.holders import read_holders
from masterflow.repository.rights.row_security import check_sight
from masterflow.repository.status.changes import read_summaries
from masterflow.repository.status.held import read_held
from masterflow.repository.status.watched import count_life
from masterflow.status.api.access import require_prober
from masterflow.status.api.problems import NotReady, described
from masterflow.status.api.safe_route import SafeRoute
from masterflow.status.fleet.metrics import fleet_metrics
from masterflow.status.metrics import life_metrics, queue_metrics, redis_metrics, stream_metrics
from masterflow.status.service import StatusService, lifespan, service_of
from masterflow.status.summary.life import LifeCounts
from masterflow.tasks.enqueue import BrokerUnavailable, queue_lengths

router = APIRouter(route_class=SafeRoute, tags=["probes"], lifespan=lifespan)

_GUARDED: Final = [Depends(require_prober)]


@router.get("/health/live", response_class=PlainTextResponse)
async def live() -> str:
    """Tell that this process answers; anybody may ask."""
    return "alive\n"


@router.get(
    "/health/ready",
    dependencies=_GUARDED,
    response_class=PlainTextResponse,
    responses=described(401, 403, 429, 503),
)
async def ready(request: Request) -> str:
    """Tell whether Postgres and Redis answer, rows can be read and changes are told, or what is wrong.

    Raises:
        NotReady: something is.
    """
    problems = await _problems(service_of(request))
    if problems:
        raise NotReady(" ".join(dict.fromkeys(problems)))
    return "ready\n"


@router.get(
    "/metrics",
    dependencies=_GUARDED,
    response_class=PlainTextResponse,
    responses=described(401, 403, 429),
)
async def metrics(request: Request) -> Response:
    """Tell Prometheus how this process, workers and outboxes do; what is away has its part missing."""
    service = service_of(request)
    gauges, lengths, life, fleet = await asyncio.gather(
        _gauges(service), _queue_lengths(service), _life_counts(service), _fleet(service)
    )
    told = [
        *stream_metrics(service.changes.open_streams, service.changes.poll_s),
        *queue_metrics(lengths),
        *life_metrics(life),
        *fleet,
        *redis_metrics(gauges, is_broker=service.queue.broker_url == service.queue.redis_url),
    ]
    return Response(service.metrics.text(*told), media_type=CONTENT_TYPE_LATEST)


async def _gauges(service: StatusService) -> WorkerGauges | None:
    try:
        return await read_gauges(service.redis)
    except RedisUnavailable:
        return None


async def _life_counts(service: StatusService) -> LifeCounts | None:
    try:
        holders = await read_holders(service.redis)
        async with service.sessions() as db:
            held = await read_held(db, holders)
        lost, overdue = await count_life(service.sessions, held)
    except (RedisUnavailable, DatabaseUnavailable):
        return None
    said = Counter(held.values())
    return LifeCounts(alive=said["alive"], silent=said["silent"], lost=lost, overdue=overdue)


async def _fleet(service: StatusService) -> list[Metric]:
    try:
        return fleet_metrics(await service.fleets.book(None))
    except DatabaseUnavailable:
        return []


async def _queue_lengths(service: StatusService) -> dict[str, int] | None:
    try:
        return await asyncio.to_thread(queue_lengths, service.queue)
    except BrokerUnavailable:
        return None


async def _problems(service: StatusService) -> list[str]:
    problems = [problem for task in service.background if (problem := task.problem)]
    try:
        async with service.sessions() as db:
            await check_sight(db)
            # Of no account: a column that is missing, or that our role may not read, is refused all the same.
            await read_summaries(db, [], flow_ids=[])
    except DatabaseUnavailable as error:
        problems.append(str(error))
    try:
        await service.redis.ask(lambda redis: redis.ping())
    except RedisUnavailable as error:
        problems.append(str(error))
    return problems
