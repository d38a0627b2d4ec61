"""Whether worker, beat and what they need are really well, for probes and for people."""

import asyncio
from dataclasses import dataclass
from typing import Final

from kombu.exceptions import KombuError
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from domain.errors import DatabaseUnavailable
from repository.database import make_engine, translated_errors
from repository.settings import DatabaseSettings
from tasks.app import app
from tasks.enqueue import QueueSettings, redis_client
from tasks.heartbeats import BEAT, heartbeat_age_s

_ANSWER_TIMEOUT_S: Final = 3

#: A process shows its life every 5 s; a longer silence than this is no hiccup.
_STALE_AFTER_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `problem` is a sentence, or None if all is well."""

    name: str
    problem: str | None = None


def worker_health(hostname: str) -> list[Finding]:
    """Return what was found about one worker, by its `name@host`, and about all it needs."""
    return [
        Finding("broker", _broker_problem()),
        Finding("database", _database_problem()),
        Finding("heartbeat", _heartbeat_problem(hostname)),
        Finding("answer", _answer_problem(hostname)),
    ]


def beat_health() -> list[Finding]:
    """Return what was found about beat and about all it needs."""
    return [Finding("broker", _broker_problem()), Finding("heartbeat", _heartbeat_problem(BEAT))]


def _broker_problem() -> str | None:
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=_ANSWER_TIMEOUT_S)
    except (KombuError, OSError, RedisError) as error:
        return f"The broker does not answer: {error!s:.200}."
    return None


def _heartbeat_problem(name: str) -> str | None:
    try:
        with redis_client(QueueSettings()) as redis:
            age_s = heartbeat_age_s(redis, name)
    except RedisError as error:
        return f"Redis does not answer: {error!s:.200}."
    if age_s is None:
        return f"{name} has shown no sign of life for an hour; start it."
    if age_s > _STALE_AFTER_S:
        return f"{name} has shown no sign of life for {age_s:.0f} s; restart it."
    return None


def _answer_problem(hostname: str) -> str | None:
    try:
        answers = app.control.ping(destination=[hostname], timeout=_ANSWER_TIMEOUT_S)
    except (KombuError, OSError, RedisError) as error:
        return f"The worker cannot be asked: {error!s:.200}."
    return None if answers else f"{hostname} did not answer within {_ANSWER_TIMEOUT_S} s; restart it."


def _database_problem() -> str | None:
    async def ask() -> None:
        engine = make_engine(DatabaseSettings(), pool_size=1, application_name="enrichment-health")
        try:
            async with (
                asyncio.timeout(_ANSWER_TIMEOUT_S),
                translated_errors(),
                engine.connect() as connection,
            ):
                await connection.execute(text("select 1"))
        finally:
            await engine.dispose()

    try:
        asyncio.run(ask())
    except (DatabaseUnavailable, SQLAlchemyError, TimeoutError) as error:
        return f"The database does not answer: {error!s:.200}."
    return None
