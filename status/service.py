"""What one API process holds: its database connections, its Redis, its poller, its limits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow.repository.database import make_engine, session_factory
from masterflow.repository.redis.client import RedisLink, RedisUnavailable
from masterflow.repository.settings import DatabaseSettings, RedisSettings
from masterflow.status.access.limits import RateLimit
from masterflow.status.access.signin_codes import SignInCodes
from masterflow.status.control.sender import RequestSender
from masterflow.status.fleet.fleets import Fleets
from masterflow.status.flow.past import PastFlows
from masterflow.status.live.background import BackgroundTask
from masterflow.status.live.changes import ChangeFeed
from masterflow.status.metrics import RequestMetrics
from masterflow.status.settings import StatusSettings
from masterflow.tasks.enqueue import QueueSettings

_REDIS_INTERVAL_S: Final = 2.0


class StatusService:
    """Made when the application starts, on its event loop."""

    def __init__(
        self,
        settings: StatusSettings,
        database: DatabaseSettings | None,
        *,
        redis: RedisSettings | None,
        queue: QueueSettings | None,
    ) -> None:
        self.settings = settings
        given: dict[str, Any] = {"REDIS_URL": redis.redis_url} if redis else {}
        self.queue = queue or QueueSettings(**given)
        self.engine = make_engine(
            database or DatabaseSettings(), pool_size=settings.pool_size, application_name="enrichment-status"
        )
        _plan_each_time(self.engine)
        self.sessions = session_factory(self.engine)
        self.redis = RedisLink(redis or RedisSettings())
        self.requests = RequestSender(self.sessions, self.redis, self.queue)
        self.changes = ChangeFeed(
            self.sessions, most=settings.most_streams, most_per_account=settings.most_streams_per_account
        )
        self.fleets = Fleets(self.sessions)
        self.past = PastFlows()
        self.rates = RateLimit(settings.rate_per_s)
        self.wrong_tokens = RateLimit(settings.wrong_tokens_per_s)
        self.wrong_codes = RateLimit(settings.wrong_tokens_per_s)
        self.codes = SignInCodes.of(settings)
        self.metrics = RequestMetrics()
        self.background = [
            self.changes.polling,
            self.fleets.following,
            BackgroundTask("The look at Redis", self._look_at_redis),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let what goes on beside the requests run: looking for changes, and whether Redis is there."""
        tasks = [each.start() for each in self.background]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.redis.close()
            await self.engine.dispose()

    async def _look_at_redis(self) -> float:
        if self.changes.open_streams:
            try:
                await self.redis.ask(lambda redis: redis.ping())
                self.changes.outages.note("redis", None)
            except RedisUnavailable:
                self.changes.outages.note("redis", "Redis does not answer, so news may come late.")
        return _REDIS_INTERVAL_S


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Give the application its service, with `app.state.status_settings` or as the environment says.

    Each router brings it, and the first one that starts makes the service of all.
    """
    if hasattr(app.state, "masterflow"):
        yield
        return
    settings = getattr(app.state, "status_settings", None) or StatusSettings()
    service = StatusService(
        settings,
        getattr(app.state, "database_settings", None),
        redis=getattr(app.state, "redis_settings", None),
        queue=getattr(app.state, "queue_settings", None),
    )
    app.state.masterflow = service
    try:
        async with service.running():
            yield
    finally:
        del app.state.masterflow


def service_of(request: Request) -> StatusService:
    """Return the service of the application that answers."""
    return cast("StatusService", request.app.state.masterflow)


async def database_of(request: Request) -> AsyncIterator[AsyncSession]:
    """Give a session that only reads, for the time of one request."""
    async with service_of(request).sessions() as db:
        yield db


def _plan_each_time(engine: AsyncEngine) -> None:
    """Let Postgres plan with the values at hand: a plan that fits a small tenant ruins a big one."""

    def set_up(connection: Any, _record: Any) -> None:
        # Behind pgbouncer nothing is prepared, so that each plan is a new one anyway.
        if connection.driver_connection.prepare_threshold is not None:
            with closing(connection.cursor()) as cursor:
                cursor.execute("set plan_cache_mode = force_custom_plan")
            connection.commit()

    event.listen(engine.sync_engine, "connect", set_up)
