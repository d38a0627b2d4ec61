"""How a command fails: with one sentence that says what is wrong and what to do, and never a traceback."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import psycopg
from sqlalchemy.exc import DBAPIError

from masterflow.domain import (
    DatabaseUnavailable,
    EnrichmentError,
    InputInvalid,
    SettingsInvalid,
    TransientError,
)
from masterflow.repository.redis.client import RedisUnavailable
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.enqueue import BrokerUnavailable

#: Exit codes: something is not as it should be; the command was given nonsense; a server is away.
FAILED: Final = 1
MISUSED: Final = 2
UNAVAILABLE: Final = 3


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """Turn the errors that a user or a server can cause into a sentence on stderr and an exit code.

    Raises:
        OSError: it is about no file.
    """
    try:
        yield
    except DatabaseUnavailable as error:
        fail(
            f"Postgres does not answer ({cause_of(error)}). Is it running, and is DATABASE_URL right?",
            UNAVAILABLE,
        )
    except (BrokerUnavailable, RedisUnavailable) as error:
        fail(
            f"Redis or the broker does not answer ({cause_of(error)})."
            " Is it running, and are REDIS_URL and CELERY_BROKER_URL right?",
            UNAVAILABLE,
        )
    except DBAPIError as error:
        fail(_refusal(error))
    except EnrichmentError as error:
        fail(str(error), _exit_code(error))
    except OSError as error:
        if error.filename is None:
            raise
        fail(f"{error.filename} cannot be used ({error.strerror}); check its path and its rights.")


def fail(sentence: str, exit_code: int = FAILED) -> NoReturn:
    """Say what is wrong, and end the process."""
    print(sentence, file=sys.stderr)
    sys.exit(exit_code)


def exit_code_of(results: Iterable[CheckResult]) -> int:
    """Return the exit code of the worst result: 0 if there is nothing but notes."""
    levels = {result.level for result in results}
    if "away" in levels:
        return UNAVAILABLE
    return FAILED if "problem" in levels else 0


def _exit_code(error: EnrichmentError) -> int:
    if isinstance(error, TransientError):
        return UNAVAILABLE
    return MISUSED if isinstance(error, InputInvalid | SettingsInvalid) else FAILED


def cause_of(error: BaseException) -> str:
    """Return the first line of what the server or its driver said."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _refusal(error: DBAPIError) -> str:
    match error.orig:
        case psycopg.errors.UndefinedTable() | psycopg.errors.InvalidSchemaName():
            return "This database has no tables of ours; make them with `flowctl init-db`."
        case psycopg.errors.UndefinedColumn():
            return f"The tables of this database lack something: {cause_of(error)}."
    return f"Postgres refuses: {cause_of(error)}."
