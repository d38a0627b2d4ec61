"""What an error means to whoever typed the command, and the exit code it ends with."""

import errno
import sys
from importlib import import_module
from typing import Final

from masterflow.domain import (
    DatabaseUnavailable,
    EnrichmentError,
    InputInvalid,
    SettingsInvalid,
    TransientError,
)
from masterflow.domain.errors import DatabaseMisconfigured
from masterflow.scripts.terminal.failures import FAILED, MISUSED, UNAVAILABLE

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

#: Errors whose modules load what speaks to Redis, by their reasons instead.
_OF_REDIS = {"broker_unavailable", "redis_unavailable"}


def explanation(error: Exception) -> tuple[str, int] | None:
    """Return a sentence and an exit code; None for what neither a user nor a server can cause."""
    if type(error) is DatabaseUnavailable:
        sentence = f"Postgres does not answer ({cause_of(error)}). Is it running, and is DATABASE_URL right?"
        return sentence, UNAVAILABLE
    if isinstance(error, EnrichmentError) and error.reason in _OF_REDIS:
        sentence = (
            f"Redis or the broker does not answer ({cause_of(error)})."
            " Is it running, and are REDIS_URL and CELERY_BROKER_URL right?"
        )
        return sentence, UNAVAILABLE
    if isinstance(error, EnrichmentError):
        return str(error), _exit_code(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used ({error.strerror}); check its path and its rights.", FAILED
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"It cannot be written ({error.strerror}); make room on the disk.", FAILED
    return (f"Postgres refuses: {cause_of(error)}.", FAILED) if _is_of_database(error) else None


def cause_of(error: BaseException) -> str:
    """Return the first line of what the server or its driver said."""
    # A time limit is made of a cancellation, which tells nothing.
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    found = getattr(error, "orig", None) or error
    if isinstance(found, TimeoutError) and not str(found):
        return "no answer in time"
    return (str(found).strip() or type(found).__name__).splitlines()[0].rstrip(".")


def _exit_code(error: EnrichmentError) -> int:
    if isinstance(error, TransientError) and not isinstance(error, DatabaseMisconfigured):
        return UNAVAILABLE
    return MISUSED if isinstance(error, InputInvalid | SettingsInvalid) else FAILED


def _is_of_database(error: Exception) -> bool:
    # Who never loaded it cannot meet its errors.
    return "sqlalchemy.exc" in sys.modules and isinstance(error, import_module("sqlalchemy.exc").DBAPIError)
