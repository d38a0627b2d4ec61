"""Whether our role of Postgres may do what a worker does, which is tried, and what it lacks."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow.domain.errors import (
    DatabaseMisconfigured,
    DatabaseReadOnly,
    RightsMissing,
    TablesUnsuitable,
)
from masterflow.repository.backfill.reads import Scope, find_behind, read_pairs
from masterflow.repository.database import session_factory
from masterflow.repository.merge.trial import Trial, try_merge, try_update
from masterflow.repository.rights.role import (
    MissingRight,
    Role,
    describe_role,
    limit_waits,
    missing_rights,
    trigger_names,
)
from masterflow.repository.rights.row_security import read_row_security
from masterflow.repository.tables import DiscoveryFlow
from masterflow.tasks.check_result import CheckResult

_NAME: Final = "postgres rights"

#: The name of what is found about the tables, which others may look at more closely.
TABLES: Final = "postgres tables"

_FOREIGN_KEY: Final = "23503"
# As which Postgres tells that current_setting() knows no such setting.
_UNDEFINED_OBJECT: Final = "42704"

# Where an error happened, in the words of Postgres.
_CALLED: Final = re.compile(r"^(?:PL/\w+|SQL) function (\S+)", re.MULTILINE)

# What makes transactions read-only, in the words of pg_settings, and what ends it.
_WRITABLE: Final = {
    "user": "run `ALTER ROLE {role} RESET default_transaction_read_only`",
    "database": "run `ALTER DATABASE {database} RESET default_transaction_read_only`",
    "database user": "run `ALTER ROLE {role} IN DATABASE {database} RESET default_transaction_read_only`",
    "client": "take the option out of DATABASE_URL",
}


async def postgres_rights(engine: AsyncEngine) -> list[CheckResult]:
    """Return whether a worker with our role could do its work; nothing that is tried outlives the call.

    A `DatabaseUnavailable` that is about the server itself passes.
    """
    async with session_factory(engine)() as db:
        try:
            results = await _results(db)
        finally:
            await db.rollback()
    return list(dict.fromkeys(results)) or [CheckResult(_NAME)]


async def _results(db: AsyncSession) -> list[CheckResult]:
    await limit_waits(db)
    role = await describe_role(db)
    if role.is_standby or role.is_read_only:
        return [_read_only(role)]
    missing = await missing_rights(db)
    results = [_missing(role, missing)] if missing else []
    lacked = {right.privilege for right in missing}
    if "USAGE" in lacked:
        return results
    attempts = (_look_at_policies, _update if "INSERT" in lacked else _merge, _backfill)
    for attempt in attempts:
        results += await _tried(db, attempt, known={result.name for result in results})
    return results


async def _tried(
    db: AsyncSession, attempt: Callable[[AsyncSession], Awaitable[list[CheckResult]]], *, known: set[str]
) -> list[CheckResult]:
    """Return what an attempt finds, or why it fails, unless the like of it is known already."""
    try:
        async with db.begin_nested() as savepoint:
            results = await attempt(db)
            await savepoint.rollback()
            return results
    except (DatabaseMisconfigured, DBAPIError) as error:
        return _explained(error, known)


def _explained(error: DatabaseMisconfigured | DBAPIError, known: set[str]) -> list[CheckResult]:
    cause = _cause(error)
    if isinstance(error, RightsMissing | DatabaseReadOnly):
        found = f"Our role may not do what a worker does ({cause})"
        return [] if _NAME in known else [_problem(found, "grant what that names")]
    if function := _function(error):
        found = f"The function {function}, which a trigger or policy calls, stops what a worker does"
        return [_problem(f"{found} ({cause})", "let it raise nothing for a merge")]
    if isinstance(error, TablesUnsuitable):
        found = f"The tables do not fit what a worker does ({cause})"
        advice = "run `flowctl init-db`, which says what to change"
        return [] if TABLES in known else [CheckResult(TABLES, "problem", found, advice)]
    if getattr(_refusal(error), "sqlstate", None) == _UNDEFINED_OBJECT:
        found = f"A policy of row-level security needs what our sessions do not set ({cause})"
        return [_problem(found, "give the role BYPASSRLS or a policy for it with `using (true)`")]
    return [_problem(f"Postgres refuses what a worker does ({cause})", "change what that names")]


async def _look_at_policies(db: AsyncSession) -> list[CheckResult]:
    master, child = await read_row_security(db), await read_row_security(db, DiscoveryFlow)
    said = [master.refusal or master.limits, child.blindness or (child.hides_rows and child.limits)]
    return [_problem(*halves) for sentence in said if sentence for halves in [_halves(sentence)]]


async def _merge(db: AsyncSession) -> list[CheckResult]:
    try:
        async with db.begin_nested():
            trial = await try_merge(db)
    except DBAPIError as error:
        if _function(error):
            raise
        await try_update(db)
        if getattr(error.orig, "sqlstate", None) == _FOREIGN_KEY:
            # No row is there to take a tenant from, and ours is none that the application has.
            return []
        found = f"Postgres makes no master row for a flow that an orchestrator declares ({_cause(error)})"
        return [_problem(found, "give a column that is not ours a default, or loosen the constraint")]
    return _told(trial, await trigger_names(db))


async def _update(db: AsyncSession) -> list[CheckResult]:
    await try_update(db)
    return []


async def _backfill(db: AsyncSession) -> list[CheckResult]:
    # Before all time, where no row is read, and all rights are needed.
    await find_behind(db, Scope(), after=("-infinity", UUID(int=0)))
    await read_pairs(db, [uuid4()], Scope())
    return []


def _told(trial: Trial, triggers: Sequence[str]) -> list[CheckResult]:
    """Return what triggers do to a merge; what policies do to it is told where they are looked at."""
    outcome, named = trial.outcome, f"The trigger {' or '.join(triggers)}"
    if outcome.hidden or not triggers:
        return []
    if outcome.missing or outcome.skipped:
        what = "a new master row" if outcome.missing else "the update of a master row"
        return [_problem(f"{named} skips {what}, so its events take no effect", "let it return NEW")]
    if trial.changed:
        found = f"{named} changes what a merge writes into {', '.join(trial.changed)}"
        return [_problem(found, "let it leave these columns as they are")]
    return []


def _read_only(role: Role) -> CheckResult:
    if role.is_standby:
        found = "This Postgres is a standby, which takes no writes"
        return _problem(found, "let DATABASE_URL name the primary")
    found = f"Transactions of the role {role.role} are read-only (default_transaction_read_only is on)"
    advice = _WRITABLE.get(role.read_only_source, "set it to off in the server's configuration")
    return _problem(found, advice.format(role=role.role, database=role.database))


def _missing(role: Role, missing: Sequence[MissingRight]) -> CheckResult:
    places: dict[str, list[str]] = {}
    for right in missing:
        places.setdefault(right.place, []).append(right.privileges)
    lacked = [f"{', '.join(privileges)} ON {place}" for place, privileges in places.items()]
    grants = "; ".join(f"GRANT {rights} TO {role.role}" for rights in lacked)
    return _problem(f"The role {role.role} lacks {' and '.join(lacked)}", f"run `{grants}`")


def _problem(found: str, advice: str) -> CheckResult:
    return CheckResult(_NAME, "problem", found, advice)


def _halves(sentence: str) -> tuple[str, str]:
    found, _, advice = sentence.rstrip(".").rpartition("; ")
    return found, advice


def _cause(error: DatabaseMisconfigured | DBAPIError) -> str:
    """Return what Postgres says."""
    refusal = _refusal(error)
    return f"{getattr(getattr(refusal, 'diag', None), 'message_primary', None) or refusal!s:.200}"


def _function(error: DatabaseMisconfigured | DBAPIError) -> str:
    """Return the function of the database in which it happened, if it was in one."""
    context = getattr(getattr(_refusal(error), "diag", None), "context", None) or ""
    found = _CALLED.search(context)
    return found[1] if found else ""


def _refusal(error: DatabaseMisconfigured | DBAPIError) -> object:
    cause = error if isinstance(error, DBAPIError) else error.__cause__
    return getattr(cause, "orig", cause)
