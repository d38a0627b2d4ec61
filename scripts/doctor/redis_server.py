"""Whether Redis answers, lets us do our work, is new enough, keeps what it took, and keeps time as we do."""

import time
from collections.abc import Mapping
from typing import Any, Final

from redis import RedisError

from masterflow.domain.addresses import RedisAddress
from masterflow.scripts.doctor.clocks import clock_result
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.enqueue import client_of
from masterflow.tasks.rights.redis import KEYS, OPERATOR, missing_rules, rights_result
from masterflow.tasks.rights.roles import fitting_role
from masterflow.tasks.settings import QueueSettings

LEAST_VERSION: Final = (6, 2)

_MOST_FULL: Final = 0.9


def check_redis() -> list[CheckResult]:
    """Return what was found about the Redis of REDIS_URL, and of CELERY_BROKER_URL where it is another."""
    settings = QueueSettings()
    results = _look("redis", settings.redis, settings)
    if settings.broker.redis not in (None, settings.redis):
        results += _look("broker redis", settings.broker.redis, settings)
    return results


def _look(name: str, address: RedisAddress, settings: QueueSettings) -> list[CheckResult]:
    variable = "REDIS_URL" if name == "redis" else "CELERY_BROKER_URL"
    try:
        with client_of(address, settings) as redis:
            missing, role = _missing(name, redis, address)
            clock = [] if "+time" in missing else [_clock(name, redis)]
            info: Any = {} if "+info" in missing else redis.info()
    except (RedisError, OSError) as error:
        found = f"Redis does not answer ({type(error).__name__}: {error!s:.200})"
        return [CheckResult(name, "away", found, f"start it, or correct {variable}")]
    rights = role or rights_result(f"{name} rights", address, missing)
    return [*(server_results(name, info) if info else [CheckResult(name)]), *clock, rights]


def _missing(name: str, redis: Any, address: RedisAddress) -> tuple[list[str], CheckResult | None]:
    """Return what a user may not do of all that we do, and the name of a role if he has that."""
    missing = missing_rules(redis, database=address.database)
    role = fitting_role(address.username)
    # Who has all our keys is no role's user.
    if KEYS not in missing or role is OPERATOR or missing_rules(redis, role, database=address.database):
        return missing, None
    found = f"The Redis user {address.username} may do what its role does, so the doctor sees less"
    return missing, CheckResult(f"{name} rights", "note", found, "run the doctor as an operator to see all")


def _clock(name: str, redis: Any) -> CheckResult:
    before_s = time.time()
    there = redis.time()
    here_s = (before_s + time.time()) / 2
    return clock_result(name, there_s=there[0] + there[1] / 1e6, here_s=here_s)


def server_results(name: str, info: Mapping[str, Any]) -> list[CheckResult]:
    """Return what Redis's INFO tells about its version, its memory and what it keeps."""
    return [_version(name, info), _append_only(name, info), _eviction(name, info), _memory(name, info)]


def _version(name: str, info: Mapping[str, Any]) -> CheckResult:
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= LEAST_VERSION:
        return CheckResult(name)
    least = ".".join(map(str, LEAST_VERSION))
    return CheckResult(name, "problem", f"Redis is version {version}", f"upgrade it to {least} or newer")


def _append_only(name: str, info: Mapping[str, Any]) -> CheckResult:
    name = f"{name} append-only file"
    if not info.get("aof_enabled"):
        found = "Redis keeps no append-only file, so a restart loses what waits in the queue"
        return CheckResult(name, "problem", found, "set `appendonly yes`")
    if info.get("aof_last_write_status", "ok") != "ok":
        return CheckResult(
            name, "problem", "Redis cannot write its append-only file", "make room on its disk"
        )
    return CheckResult(name)


def _eviction(name: str, info: Mapping[str, Any]) -> CheckResult:
    name, policy = f"{name} eviction", info.get("maxmemory_policy")
    if policy is None:
        found = "Redis does not tell its maxmemory-policy"
        return CheckResult(name, "note", found, "see to it that it is noeviction")
    if policy == "noeviction":
        return CheckResult(name)
    found = f"Redis may throw queued events away when its memory is full (maxmemory-policy {policy})"
    return CheckResult(name, "problem", found, "set `maxmemory-policy noeviction`")


def _memory(name: str, info: Mapping[str, Any]) -> CheckResult:
    name, most, used = f"{name} memory", int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if not most:
        found = "Redis has no maxmemory, so it can fill the memory of its machine"
        return CheckResult(name, "note", found, "set `maxmemory` below what the machine has")
    if used < most * _MOST_FULL:
        return CheckResult(name)
    found = f"Redis uses {used / most:.0%} of its maxmemory and will refuse events once it is full"
    return CheckResult(name, "problem", found, "start more workers, or raise `maxmemory`")
