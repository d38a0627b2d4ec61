"""Whether worker, beat and what they need are really well, for probes and for people."""

import asyncio
from collections.abc import Sequence
from typing import Final

from kombu.exceptions import KombuError
from redis import RedisError
from redis.exceptions import NoPermissionError
from sqlalchemy.exc import SQLAlchemyError

from masterflow.domain.errors import DatabaseUnavailable
from masterflow.repository.database import make_engine, translated_errors
from masterflow.repository.settings import DatabaseSettings
from masterflow.tasks.celery.idleness import idle_workers
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.enqueue import BrokerUnavailable, QueueSettings, redis_client
from masterflow.tasks.heartbeats import BEAT, heartbeat_age_s
from masterflow.tasks.queues import broker_connection
from masterflow.tasks.rights.postgres import postgres_rights
from masterflow.tasks.rights.redis import redis_rights
from masterflow.tasks.rights.roles import ROLES

_ANSWER_TIMEOUT_S: Final = 3

#: A process shows its life every 5 s; a longer silence than this is no hiccup.
STALE_AFTER_S: Final = 30.0


def worker_health(hostname: str) -> list[CheckResult]:
    """Return what was found about one worker, by its `name@host`, and about all it needs."""
    return [_broker(), *_database(), _redis_rights(), _heartbeat(hostname), _consumption(hostname)]


def beat_health() -> list[CheckResult]:
    """Return what was found about beat and about all it needs."""
    return [_broker(), _heartbeat(BEAT)]


def life_of(name: str, age_s: float | None) -> CheckResult:
    """Return whether a process lives, by the age of its last sign of life."""
    silence = f"{name} has shown no sign of life for"
    if age_s is None:
        return CheckResult(
            "heartbeat", "problem", f"{name} has ended, or shown no sign of life for an hour", "start it"
        )
    if age_s > STALE_AFTER_S:
        return CheckResult("heartbeat", "problem", f"{silence} {age_s:.0f} s", "restart it")
    return CheckResult("heartbeat")


def _redis_rights() -> CheckResult:
    try:
        return redis_rights(QueueSettings(), ROLES["worker"])
    except (OSError, RedisError):
        return CheckResult("redis rights")  # As the other results say.


def _unanswered(name: str, who: str, error: Exception) -> CheckResult:
    if isinstance(error, NoPermissionError):
        advice = "give the user the rights that `redis rights` names"
        return CheckResult(name, "problem", f"{who} refuses: {error!s:.200}", advice)
    return CheckResult(name, "away", f"{who} does not answer: {error!s:.200}")


def _broker() -> CheckResult:
    try:
        with broker_connection(QueueSettings(), timeout_s=_ANSWER_TIMEOUT_S) as connection:
            connection.ensure_connection(max_retries=1, timeout=_ANSWER_TIMEOUT_S)
    except (KombuError, OSError, RedisError) as error:
        return _unanswered("broker", "The broker", error)
    return CheckResult("broker")


def _heartbeat(name: str) -> CheckResult:
    try:
        with redis_client(QueueSettings()) as redis:
            age_s = heartbeat_age_s(redis, name)
    except RedisError as error:
        return _unanswered("heartbeat", "Redis", error)
    return life_of(name, age_s)


def consumption_of(idle: Sequence[str]) -> CheckResult:
    """Return whether all workers take messages, but for these, which do not although some wait."""
    if not idle:
        return CheckResult("consumption")
    takes = "takes" if len(idle) == 1 else "take"
    found = f"{', '.join(idle[:5])} {takes} none of the messages that wait"
    return CheckResult("consumption", "problem", found, "restart it")


def _consumption(hostname: str) -> CheckResult:
    try:
        return consumption_of(idle_workers([hostname]))
    except (BrokerUnavailable, RedisError) as error:
        return _unanswered("consumption", "The broker", error)


def _database() -> list[CheckResult]:
    """Return whether Postgres answers, and what of a worker's work our role may not do there."""

    async def ask() -> list[CheckResult]:
        engine = make_engine(DatabaseSettings(), pool_size=1, application_name="enrichment-health")
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S), translated_errors():
                return await postgres_rights(engine)
        finally:
            await engine.dispose()

    try:
        return [CheckResult("database"), *asyncio.run(ask())]
    except TimeoutError:
        found = f"The database does not answer within {_ANSWER_TIMEOUT_S} s"
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        found = f"The database does not answer: {error!s:.200}"
    return [CheckResult("database", "away", found)]
