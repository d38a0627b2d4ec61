"""What `flowctl doctor` looks at: settings, packages, servers, tables, processes and the outbox."""

from masterflow.scripts.doctor.broker import look_at_broker
from masterflow.scripts.doctor.database import look_at_database
from masterflow.scripts.doctor.outbox import look_at_outbox
from masterflow.scripts.doctor.packages import look_at_packages
from masterflow.scripts.doctor.processes import look_at_processes
from masterflow.scripts.doctor.redis_server import look_at_redis
from masterflow.scripts.doctor.settings import look_at_settings, unreadable_settings
from masterflow.tasks.findings import Finding

__all__ = ["examine"]


def examine() -> list[Finding]:
    """Return what was found about all of it; what a broken setting hides is not looked at."""
    unreadable = unreadable_settings()
    findings = [*look_at_settings(), *look_at_packages()]
    if "DatabaseSettings" not in unreadable:
        findings += look_at_database()
    if not unreadable & {"QueueSettings", "RedisSettings", "WorkerSettings"}:
        findings += [*look_at_redis(), *look_at_broker(), *look_at_processes()]
    if "OutboxSettings" not in unreadable:
        findings += look_at_outbox()
    return findings
