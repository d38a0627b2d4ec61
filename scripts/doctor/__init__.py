"""What `flowctl doctor` looks at: settings, packages, servers, tables, processes and the outbox."""

from scripts.doctor.broker import look_at_broker
from scripts.doctor.database import look_at_database
from scripts.doctor.outbox import look_at_outbox
from scripts.doctor.packages import look_at_packages
from scripts.doctor.processes import look_at_processes
from scripts.doctor.redis_server import look_at_redis
from scripts.doctor.settings import look_at_settings, unreadable_settings
from tasks.findings import Finding

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
