"""The servers that everyone is measured on: one Postgres, one Redis, and RabbitMQ where it is installed."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

from masterflow.repository.database import DatabaseSettings, make_engine
from masterflow.repository.tables import create_tables
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import PROGRAM, RabbitMQ
from masterflow.scripts.supervise.ports import free_port

#: Settings of ours that are the benchmark's to choose, and of libpq.
_OURS: Final = ("CELERY_", "DATABASE_", "ENRICHMENT_", "MASTER_STATE_", "PG", "REDIS_")
#: Peers talk to nobody but the servers of this machine.
_QUIET: Final = {
    "ANONYMIZED_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "OTEL_SDK_DISABLED": "true",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


class Place:
    """The servers of a benchmark, in a folder; all data are durable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._postgres = EmbeddedPostgres(folder / "postgres")
        self._redis = EmbeddedRedis(folder / "redis")
        self._rabbitmq: RabbitMQ | None = None
        self._runs = 0

    def __enter__(self) -> Self:
        self._stack.enter_context(self._postgres)
        self._stack.enter_context(self._redis)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def has_rabbitmq(self) -> bool:
        """Whether Debian's RabbitMQ is installed."""
        return PROGRAM.exists()

    def rabbitmq_url(self) -> str:
        """Start RabbitMQ if it does not run, and return its address."""
        if self._rabbitmq is None:
            self._rabbitmq = self._stack.enter_context(RabbitMQ(self.folder / "rabbitmq"))
        return self._rabbitmq.url

    @contextmanager
    def fresh(self, name: str, broker_url: str = "") -> Iterator[dict[str, str]]:
        """Give an environment that leads to a new database and an empty Redis; both are emptied after it."""
        self._runs += 1
        database = f"{name}_{self._runs}"
        with psycopg.connect(self._address("flows"), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
            self._empty_redis()
            settings = self._settings(database, broker_url)
            asyncio.run(_make_tables(settings["DATABASE_URL"]))
            try:
                yield settings
            finally:
                self._empty_redis()
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database)))

    def _settings(self, database: str, broker_url: str) -> dict[str, str]:
        own = self.folder / f"run-{self._runs}"
        own.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        url = make_url(self._postgres.url).set(database=database)
        return {
            **kept,
            **_QUIET,
            "BENCH_BROKER": self._redis.url,
            "BENCH_FOLDER": str(own),
            "BENCH_POSTGRES": self._address(database),
            "CELERY_BROKER_URL": broker_url or self._redis.url,
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "ENRICHMENT_OUTBOX_MAX_BYTES": "4000000000",
            "ENRICHMENT_SPOOL_DIR": str(own / "spool"),
            "HOME": str(own),
            "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
            "PREFECT_HOME": str(own / "prefect"),
            "REDIS_URL": self._redis.url,
            "XDG_STATE_HOME": str(own / "state"),
        }

    def _address(self, database: str) -> str:
        """Return a database's address as libpq has it."""
        url = make_url(self._postgres.url).set(drivername="postgresql", database=database)
        return url.render_as_string(hide_password=False)

    def _empty_redis(self) -> None:
        with redis.Redis.from_url(self._redis.url) as client:
            client.flushall()


async def _make_tables(url: str) -> None:
    engine = make_engine(DatabaseSettings.model_validate({"DATABASE_URL": url}), pool_size=1)
    await create_tables(engine)
    await engine.dispose()
