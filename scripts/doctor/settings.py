"""Whether every setting can be read, and whether the keys are there."""

from typing import Final

from masterflow.domain.errors import SettingsInvalid
from masterflow.domain.settings import Settings
from masterflow.repository.settings import DatabaseSettings, RedisSettings
from masterflow.status.settings import StatusSettings
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.settings import BackfillSettings, QueueSettings, WorkerSettings
from masterflow.tracker.outbox.settings import OutboxSettings

# Only the status API reads the last one, and it may run elsewhere.
_ALL: Final[tuple[type[Settings], ...]] = (
    DatabaseSettings,
    QueueSettings,
    RedisSettings,
    WorkerSettings,
    BackfillSettings,
    OutboxSettings,
)


def unreadable_settings() -> set[str]:
    """Return the names of the settings classes that cannot be read."""
    return {settings.__name__ for settings in _ALL if _complaint(settings)}


def check_settings() -> list[CheckResult]:
    """Return whether the settings are readable and name the keys that they should."""
    complaints = dict.fromkeys(complaint for settings in _ALL if (complaint := _complaint(settings)))
    problems = [
        CheckResult("settings", "problem", "A setting is missing or malformed", it) for it in complaints
    ]
    return [*(problems or [CheckResult("settings")]), *_cache_keys(), _jwt_key()]


def _complaint(settings: type[Settings]) -> str:
    try:
        settings()
    except SettingsInvalid as error:
        return str(error)
    return ""


def _cache_keys() -> list[CheckResult]:
    if _complaint(RedisSettings):
        return []
    if RedisSettings().cache_keys:
        return [CheckResult("cache keys")]
    loss = "Without ENRICHMENT_CACHE_KEYS nothing is cached"
    advice = "make one with `flowctl security cache-key` if reading flow states is slow"
    return [CheckResult("cache keys", "note", loss, advice)]


def _jwt_key() -> CheckResult:
    if complaint := _complaint(StatusSettings):
        found = "The status API would not start from this environment, which does not matter elsewhere"
        return CheckResult("jwt key", "note", found, complaint)
    return CheckResult("jwt key")
