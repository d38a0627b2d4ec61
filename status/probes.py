"""What machines ask: whether this process lives, whether it can work, and its metrics."""

from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text

from domain import DatabaseUnavailable
from repository.database import translated_errors
from repository.redis_link import RedisUnavailable
from repository.worker_gauges import read_gauges
from status.access import require_prober
from status.metrics import redis_metrics, stream_metrics
from status.problems import NotReady, described
from status.routes import SafeRoute
from status.service import StatusService, service_of

router = APIRouter(route_class=SafeRoute, tags=["probes"])

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
    """Tell whether Postgres and Redis answer, or which of them does not.

    Raises:
        NotReady: one of them does not.
    """
    problems = await _problems(service_of(request))
    if problems:
        raise NotReady(" ".join(problems))
    return "ready\n"


@router.get(
    "/metrics",
    dependencies=_GUARDED,
    response_class=PlainTextResponse,
    responses=described(401, 403, 429),
)
async def metrics(request: Request) -> Response:
    """Tell Prometheus how this process and the workers do; without Redis, the workers' part is missing."""
    service = service_of(request)
    try:
        gauges = await read_gauges(service.redis)
    except RedisUnavailable:
        gauges = None
    own = stream_metrics(service.changes.open_streams, service.changes.poll_s)
    return Response(service.metrics.text(*own, *redis_metrics(gauges)), media_type=CONTENT_TYPE_LATEST)


async def _problems(service: StatusService) -> list[str]:
    problems = []
    try:
        async with service.sessions() as db, translated_errors():
            await db.execute(text("select 1"))
    except DatabaseUnavailable as error:
        problems.append(str(error))
    try:
        await service.redis.ask(lambda redis: redis.ping())
    except RedisUnavailable as error:
        problems.append(str(error))
    return problems
