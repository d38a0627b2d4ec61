"""The event loop that a worker process runs its coroutines on, with its engine and its clients."""

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from celery import signals
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.errors import DatabaseUnavailable
from masterflow.repository.database import make_engine, session_factory
from masterflow.repository.feature_flag import FeatureFlag
from masterflow.repository.settings import DatabaseSettings, RedisSettings
from masterflow.tasks.app import app
from masterflow.tasks.control.telling import Teller
from masterflow.tasks.counters import Counters
from masterflow.tasks.dead_letters.letters import DeadLetters
from masterflow.tasks.delivery.retry import ATTEMPT_TIMEOUT_S
from masterflow.tasks.enqueue import QueueSettings, redis_client
from masterflow.tasks.inbox.admission import Door
from masterflow.tasks.notices.receivers import NoticeSettings
from masterflow.tasks.notices.recording import Notices
from masterflow.tasks.settings import WorkerSettings

Result = TypeVar("Result")

#: What is done with the database of a worker.
Work = Callable[[async_sessionmaker[AsyncSession]], Awaitable[Result]]


class WorkerLoop:
    """One loop, one database connection and one Redis client, of one thread of one process."""

    def __init__(self) -> None:
        self.queue = queue = QueueSettings()
        self.settings = WorkerSettings()
        self.teller = Teller(queue)
        self.counters = Counters()
        self.redis = redis_client(queue)
        self.door = Door(self.redis, queue)
        self.dead_letters = DeadLetters(
            app.connection_for_write(), max_letters=self.settings.max_dead_letters
        )
        self._flag = FeatureFlag(RedisSettings())
        self._engine = make_engine(
            _database_settings(), pool_size=1, application_name="enrichment-worker", repeats_itself=True
        )
        self._sessions = session_factory(self._engine)
        self._runner = asyncio.Runner()
        #: What outside is to be told, once it is in the rows.
        self.notices = Notices(self.redis, queue.worker_keys, NoticeSettings(), self.run)

    def is_enabled(self) -> bool:
        """Return the feature flag."""
        return self._runner.run(self._flag.is_enabled())

    def run(self, work: Work[Result], *, timeout_s: float = ATTEMPT_TIMEOUT_S) -> Result:
        """Do work with the database, on a new connection if the last one was lost.

        After `DatabaseUnavailable` nothing is certain; do all of it again later.
        """
        return self._runner.run(self._attempt(work, timeout_s))

    def close(self) -> None:
        """Give back the connections and end the loop."""
        self._runner.run(self._engine.dispose())
        self._runner.run(self._flag.close())
        self._runner.close()
        self.redis.close()

    async def _attempt(self, work: Work[Result], timeout_s: float) -> Result:
        try:
            async with asyncio.timeout(timeout_s):
                return await work(self._sessions)
        except TimeoutError as error:
            await self._engine.dispose()
            raise DatabaseUnavailable("Postgres took too long to answer; try again later.") from error
        except DatabaseUnavailable:
            await self._engine.dispose()
            raise


def _database_settings() -> DatabaseSettings:
    # A worker that freezes in a transaction holds rows that the others need; no transaction of ours
    # does nothing for longer than an attempt may take.
    settings = DatabaseSettings()
    return settings.model_copy(update={"idle_timeout_s": min(settings.idle_timeout_s, ATTEMPT_TIMEOUT_S)})


_local = threading.local()


def spare_collector() -> None:
    """Let the garbage collector pass over what is loaded once and for all: a fifth of a worker's time."""
    gc.freeze()


def worker_loop() -> WorkerLoop:
    """Return this thread's loop; it is made on first use, which is after the fork."""
    if getattr(_local, "pid", None) != os.getpid():
        _local.pid, _local.loop = os.getpid(), WorkerLoop()
        spare_collector()
    loop: WorkerLoop = _local.loop
    return loop


@signals.worker_process_shutdown.connect
def _close(**_: Any) -> None:
    if getattr(_local, "pid", None) == os.getpid():
        _local.loop.close()
