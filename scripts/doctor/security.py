"""Which level of security runs, as docs/security.md has them, and what is open to others."""

from dataclasses import replace

from redis.exceptions import RedisError

from masterflow.domain.addresses import RedisAddress
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.enqueue import client_of
from masterflow.tasks.settings import QueueSettings, WorkerSettings


def check_security() -> list[CheckResult]:
    """Return what was found about keys, users and what listens to strangers."""
    settings = QueueSettings()
    return [
        level_result(
            has_signing_keys=bool(settings.signing_keys),
            has_worker_keys=bool(settings.worker_keys),
            has_role=_has_role(settings),
        ),
        remote_control_result(is_on=WorkerSettings().remote_control),
        _strangers(settings),
    ]


def level_result(*, has_signing_keys: bool, has_worker_keys: bool, has_role: bool) -> CheckResult:
    """Return which level runs as far as one process can see, and how to come to the next one."""
    if not has_signing_keys:
        found = "Level no keys: no batch is signed, so whoever reaches the broker can change any flow"
        advice = "make a key with `flowctl security keygen`, for workers and orchestrators"
        return CheckResult("security", "warning", found, advice)
    levels = ["signing keys", *(["worker keys"] if has_worker_keys else []), *(["roles"] if has_role else [])]
    found = f"Level {' and '.join(levels)}: nobody writes for a client account without its key"
    if not has_role:
        advice = "give each role a user of its own, or whoever reaches Redis can hold events up"
        return CheckResult("security", "note", found, f"{advice} (docs/security.md)")
    return CheckResult("security", "well", found)


def remote_control_result(*, is_on: bool) -> CheckResult:
    """Return what an operator opens who lets workers obey Celery's remote control."""
    if not is_on:
        return CheckResult("remote control")
    found = (
        "ENRICHMENT_REMOTE_CONTROL is on, so whoever writes to the broker can end workers, change what they"
        " take and how fast, revoke messages and read their configuration, and no key protects that"
    )
    return CheckResult("remote control", "warning", found, "leave it out of the environment of workers")


def _has_role(settings: QueueSettings) -> bool:
    return all((address.username or "default") != "default" for address in _servers(settings))


def _servers(settings: QueueSettings) -> list[RedisAddress]:
    return [*dict.fromkeys([settings.redis, settings.broker.redis or settings.redis])]


def _strangers(settings: QueueSettings) -> CheckResult:
    if not any(_lets_strangers_in(address, settings) for address in _servers(settings)):
        return CheckResult("strangers")
    found = "Redis lets in whoever reaches it, without a password"
    advice = "set `requirepass`, or switch the user `default` off"
    return CheckResult("strangers", "warning", found, advice)


def _lets_strangers_in(address: RedisAddress, settings: QueueSettings) -> bool:
    try:
        with client_of(replace(address, username=None, password=None), settings) as redis:
            return bool(redis.ping())
    except (RedisError, OSError):
        return False  # It asks who they are, or is away, as the other results say.
