"""How a process reaches Postgres: the engine, its sessions, and which of its errors pass by themselves."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import ConnectionPoolEntry

from masterflow.domain.errors import (
    DatabaseReadOnly,
    DatabaseUnavailable,
    RightsMissing,
    TablesUnsuitable,
    TransactionConflict,
)
from masterflow.repository.settings import DatabaseSettings
from masterflow.repository.sql import statement
from masterflow.repository.values import register_loaders

__all__ = ["DatabaseSettings", "make_engine", "session_factory", "translated_errors"]

# SQLSTATEs, or how they begin, of what a later attempt may get past.
_TRANSIENT: Final = (
    "08",  # the connection
    "25P03",  # idle in a transaction for too long
    "25P04",  # a transaction that took too long
    "40003",  # nobody knows whether the statement completed
    "40P01",  # deadlock
    "53",  # no room: disk, memory, connections
    "55P03",  # a lock not granted in time
    "57",  # an operator, a shutdown, a statement that took too long
    "58030",  # the disk
)

# Of the SQLSTATEs that say more than that: the error and its sentence.
_TABLES_MISSING: Final = (
    TablesUnsuitable,
    "This database lacks a table of ours ({cause}); make it with `flowctl init-db`.",
)
_COLUMNS_UNSUITABLE: Final = (
    TablesUnsuitable,
    "The tables lack what is needed ({cause}); `flowctl doctor` says what to change.",
)
_NAMED: Final[Mapping[str, tuple[type[DatabaseUnavailable], str]]] = {
    "25006": (
        DatabaseReadOnly,
        "Postgres takes no writes ({cause}); `flowctl doctor` says whether it is a standby"
        " or what makes our transactions read-only.",
    ),
    "3F000": _TABLES_MISSING,
    "40001": (TransactionConflict, "Another transaction changed the same rows ({cause}); repeat yours."),
    "42501": (
        RightsMissing,
        "Postgres does not let our role do this ({cause}); `flowctl doctor` says what to grant.",
    ),
    "42703": _COLUMNS_UNSUITABLE,
    "42804": _COLUMNS_UNSUITABLE,
    "42846": _COLUMNS_UNSUITABLE,
    "42883": _COLUMNS_UNSUITABLE,
    "42P01": _TABLES_MISSING,
}


def make_engine(
    settings: DatabaseSettings,
    *,
    pool_size: int = 5,
    max_overflow: int = 0,
    application_name: str = "flow-enrichment",
    repeats_itself: bool = False,
) -> AsyncEngine:
    """Return an engine whose connections wait no longer than the settings say; nothing connects yet.

    An engine belongs to one process and one event loop: make it after the fork. One that `repeats_itself`
    executes the same few statements again and again, so each is prepared at once.
    """
    engine = create_async_engine(
        settings.database_url,
        connect_args=_connect_args(settings, application_name, repeats_itself=repeats_itself),
        hide_parameters=True,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        pool_recycle=1800,
        pool_size=pool_size,
        pool_timeout=settings.connect_timeout_s,
    )
    _limit_waits(engine, settings)
    event.listen(engine.sync_engine, "connect", _read_every_value)
    return engine


def session_factory(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Return what makes sessions whose rows stay readable after a commit."""
    return async_sessionmaker(engine, expire_on_commit=False, autoflush=False)


@asynccontextmanager
async def translated_errors() -> AsyncIterator[None]:
    """Turn an error that a later attempt may get past into `DatabaseUnavailable`.

    Of its kinds, TransactionConflict asks for a new transaction at once; TablesUnsuitable, RightsMissing
    (also where a policy refuses a row) and DatabaseReadOnly say what somebody has to change.

    Raises:
        DatabaseUnavailable: Postgres is away, overloaded, or gave up on this transaction.
        DBAPIError: any other error, as it was.
    """
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseUnavailable(_advice("every connection of the pool is in use")) from error
    except DBAPIError as error:
        kind, sentence = _NAMED.get(getattr(error.orig, "sqlstate", None) or "", (None, ""))
        if kind is not None:
            said = getattr(getattr(error.orig, "diag", None), "message_primary", None)
            cause = f"{said or type(error.orig).__name__:.160}"
            raise kind(sentence.format(cause=cause)) from error
        if not _is_transient(error):
            raise
        raise DatabaseUnavailable(_advice(_cause(error.orig))) from error


def _read_every_value(connection: Any, _record: ConnectionPoolEntry) -> None:
    register_loaders(connection.driver_connection.adapters)


def _advice(cause: str) -> str:
    return f"Postgres is not available for now ({cause}); try again later."


def _cause(error: BaseException | None) -> str:
    """Return why a connection is refused, as the server says it at the end of the driver's text."""
    *_, last = str(error).splitlines() or [""]
    _, refused, reason = last.rpartition(" failed: ")
    return f"{reason.removeprefix('FATAL:').strip():.160}" if refused else type(error).__name__


def _is_transient(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    cause = error.orig
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:
        # It cannot connect, or the connection broke.
        return isinstance(cause, psycopg.OperationalError)
    return cause.sqlstate.startswith(_TRANSIENT)


def _connect_args(
    settings: DatabaseSettings, application_name: str, *, repeats_itself: bool
) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "application_name": application_name,
        "client_encoding": "utf8",  # else a database in SQL_ASCII gives bytes for text
        "connect_timeout": settings.connect_timeout_s,
        # A host that vanishes without a word is given up on: while it owes an acknowledgement
        # after tcp_user_timeout (milliseconds), while we wait for its answer by keepalives (seconds).
        "tcp_user_timeout": _milliseconds(settings.statement_timeout_s),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    if settings.pgbouncer:
        # The next transaction may run on another server connection, which does not know the statement.
        arguments["prepare_threshold"] = None
    elif repeats_itself:
        # To plan a merge takes Postgres longer than to run it. It does so five times once the statement
        # is prepared, and before that each time: by default five times more.
        arguments["prepare_threshold"] = 0
    return arguments


def _limit_waits(engine: AsyncEngine, settings: DatabaseSettings) -> None:
    """Set time limits and the time zone: once per connection, or behind pgbouncer once per transaction.

    Startup `options` would spare the round trip, but pgbouncer refuses them.
    """
    dialect = engine.dialect
    limits = str(statement("set_connection").compile(dialect=dialect))
    compression = str(statement("set_compression").compile(dialect=dialect))
    values = {
        "lock_timeout": str(_milliseconds(settings.lock_timeout_s)),
        "statement_timeout": str(_milliseconds(settings.statement_timeout_s)),
        "idle_timeout": str(_milliseconds(settings.idle_timeout_s)),
        "is_local": settings.pgbouncer,
    }

    def set_session(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(limits, values)
            cursor.execute(compression)
        connection.commit()

    def set_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(limits, values)

    if settings.pgbouncer:
        event.listen(engine.sync_engine, "begin", set_transaction)
    else:
        event.listen(engine.sync_engine, "connect", set_session)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
