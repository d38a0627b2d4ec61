"""What `flowctl doctor` looks at: settings, packages, servers, tables, processes and the outbox."""

from masterflow.scripts.doctor.broker import check_broker
from masterflow.scripts.doctor.database import check_database
from masterflow.scripts.doctor.flag import check_flag
from masterflow.scripts.doctor.outbox import check_outbox
from masterflow.scripts.doctor.packages import check_packages
from masterflow.scripts.doctor.processes import check_processes
from masterflow.scripts.doctor.redis_server import check_redis
from masterflow.scripts.doctor.security import check_security
from masterflow.scripts.doctor.settings import check_settings, unreadable_settings
from masterflow.tasks.check_result import CheckResult

__all__ = ["examine"]


def examine() -> list[CheckResult]:
    """Return what was found about all of it; what a broken setting hides is not looked at."""
    unreadable = unreadable_settings()
    results = [*check_settings(), *check_packages()]
    if "DatabaseSettings" not in unreadable:
        results += check_database()
    if not unreadable & {"QueueSettings", "RedisSettings", "WorkerSettings"}:
        results += [*check_redis(), *check_broker(), *check_flag(), *check_processes(), *check_security()]
    if "OutboxSettings" not in unreadable:
        results += check_outbox()
    return results
