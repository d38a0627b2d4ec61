"""Whether Redis answers, is new enough, keeps what it took, and keeps time as we do."""

import time
from collections.abc import Mapping
from typing import Any, Final

from redis import RedisError

from masterflow.scripts.doctor.clocks import clock_finding
from masterflow.tasks.enqueue import redis_client
from masterflow.tasks.findings import Finding
from masterflow.tasks.queues import speaks_amqp
from masterflow.tasks.settings import QueueSettings

LEAST_VERSION: Final = (6, 2)

_MOST_FULL: Final = 0.9


def look_at_redis() -> list[Finding]:
    """Return what was found about the Redis of REDIS_URL, and of CELERY_BROKER_URL where it is another."""
    settings = QueueSettings()
    findings = _look("redis", settings)
    if settings.broker_url != settings.redis_url and not speaks_amqp(settings.broker_url):
        findings += _look("broker redis", settings.model_copy(update={"redis_url": settings.broker_url}))
    return findings


def _look(name: str, settings: QueueSettings) -> list[Finding]:
    variable = "REDIS_URL" if name == "redis" else "CELERY_BROKER_URL"
    try:
        with redis_client(settings) as redis:
            before_s = time.time()
            there: Any = redis.time()
            here_s = (before_s + time.time()) / 2
            info: Any = redis.info()
    except (RedisError, OSError) as error:
        found = f"Redis does not answer ({type(error).__name__}: {error!s:.200})"
        return [Finding(name, "away", found, f"start it, or correct {variable}")]
    clock = clock_finding(name, there_s=there[0] + there[1] / 1e6, here_s=here_s)
    return [*server_findings(name, info), clock]


def server_findings(name: str, info: Mapping[str, Any]) -> list[Finding]:
    """Return what Redis's INFO tells about its version, its memory and what it keeps."""
    return [_version(name, info), _append_only(name, info), _eviction(name, info), _memory(name, info)]


def _version(name: str, info: Mapping[str, Any]) -> Finding:
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= LEAST_VERSION:
        return Finding(name)
    least = ".".join(map(str, LEAST_VERSION))
    return Finding(name, "problem", f"Redis is version {version}", f"upgrade it to {least} or newer")


def _append_only(name: str, info: Mapping[str, Any]) -> Finding:
    name = f"{name} append-only file"
    if not info.get("aof_enabled"):
        found = "Redis keeps no append-only file, so a restart loses what waits in the queue"
        return Finding(name, "problem", found, "set `appendonly yes`")
    if info.get("aof_last_write_status", "ok") != "ok":
        return Finding(name, "problem", "Redis cannot write its append-only file", "make room on its disk")
    return Finding(name)


def _eviction(name: str, info: Mapping[str, Any]) -> Finding:
    name, policy = f"{name} eviction", info.get("maxmemory_policy")
    if policy is None:
        found = "Redis does not tell its maxmemory-policy"
        return Finding(name, "note", found, "see to it that it is noeviction")
    if policy == "noeviction":
        return Finding(name)
    found = f"Redis may throw queued events away when its memory is full (maxmemory-policy {policy})"
    return Finding(name, "problem", found, "set `maxmemory-policy noeviction`")


def _memory(name: str, info: Mapping[str, Any]) -> Finding:
    name, most, used = f"{name} memory", int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if not most:
        found = "Redis has no maxmemory, so it can fill the memory of its machine"
        return Finding(name, "note", found, "set `maxmemory` below what the machine has")
    if used < most * _MOST_FULL:
        return Finding(name)
    found = f"Redis uses {used / most:.0%} of its maxmemory and will refuse events once it is full"
    return Finding(name, "problem", found, "start more workers, or raise `maxmemory`")
