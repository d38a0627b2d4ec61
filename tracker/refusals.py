"""What a hook does with a call that makes no sense: it says so in the log, and lets the flow go on."""

from masterflow.domain import SettingsInvalid
from masterflow.tracker.outbox.process import process_delivery


def refuse(problem: Exception, *, may_raise: bool = True) -> None:
    """Count and log a call that could not be reported; with ENRICHMENT_STRICT=true raise it instead."""
    if may_raise and _is_strict():
        raise problem
    process_delivery.losses.note("invalid", f"{type(problem).__name__}: {problem}")


def _is_strict() -> bool:
    try:
        return process_delivery.settings.is_strict
    except SettingsInvalid:
        return False
