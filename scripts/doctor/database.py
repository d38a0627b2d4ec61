"""Whether Postgres answers, is new enough, and keeps time as we do."""

import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import RowMapping
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain.errors import DatabaseMisconfigured, DatabaseUnavailable
from masterflow.repository.sql import statement
from masterflow.scripts.database import with_engine
from masterflow.scripts.doctor.clocks import clock_result
from masterflow.scripts.doctor.tables import table_results
from masterflow.scripts.terminal.explanations import cause_of
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.rights.postgres import TABLES, postgres_rights

#: What the statements need, and the oldest version that the tests run on.
LEAST_VERSION: Final = 13
TESTED_VERSION: Final = 15

_UTC: Final = frozenset({"UTC", "Etc/UTC", "GMT", "Zulu", "Etc/GMT", "Etc/UCT", "UCT", "Universal"})


@dataclass(frozen=True, slots=True)
class _Answer:
    server: RowMapping
    here_s: float
    tables: list[CheckResult]
    rights: list[CheckResult]


def check_database() -> list[CheckResult]:
    """Return what was found about the server and its tables."""
    try:
        answer = with_engine(_ask)
    except DatabaseMisconfigured as error:
        return [CheckResult("postgres", "problem", str(error), "see to what it names")]
    except DatabaseUnavailable as error:
        found = f"Postgres does not answer ({cause_of(error)})"
        return [CheckResult("postgres", "away", found, "start it, or correct DATABASE_URL")]
    except DBAPIError as error:
        return [
            CheckResult("postgres", "problem", f"Postgres refuses: {cause_of(error)}", "grant what it names")
        ]
    server, has_problems = answer.server, any(result.problem for result in answer.tables)
    return [
        version_result(server["version"] // 10_000),
        CheckResult("postgres"),
        clock_result("postgres", there_s=server["epoch_s"], here_s=answer.here_s),
        time_zone_result(server["time_zone"]),
        lz4_result(has_lz4=server["has_lz4"]),
        *answer.tables,
        *(result for result in answer.rights if not (has_problems and result.name == TABLES)),
    ]


async def _ask(engine: AsyncEngine) -> _Answer:
    async with engine.connect() as connection:
        before_s = time.time()
        server = (await connection.execute(statement("describe_server"))).mappings().one()
        here_s = (before_s + time.time()) / 2
        tables = await connection.run_sync(table_results)
    return _Answer(server, here_s, tables, await postgres_rights(engine))


def version_result(version: int) -> CheckResult:
    """Return whether a server of this major version is new enough."""
    if version < LEAST_VERSION:
        found = f"Postgres is version {version}, and the merges need {LEAST_VERSION}"
        return CheckResult("postgres version", "problem", found, f"upgrade it to {TESTED_VERSION} or newer")
    if version < TESTED_VERSION:
        found = f"Postgres is version {version}, and the oldest one tested is {TESTED_VERSION}"
        return CheckResult("postgres version", "note", found, "upgrade it when you can")
    return CheckResult("postgres version")


def time_zone_result(time_zone: str) -> CheckResult:
    """Return whether what other programs write has our time zone too; our own sessions set UTC."""
    if time_zone in _UTC:
        return CheckResult("time zone")
    found = f"The database's time zone is {time_zone}; our sessions set UTC, those of other programs do not"
    return CheckResult(
        "time zone", "note", found, "write times with their zone there, or set the database to UTC"
    )


def lz4_result(*, has_lz4: bool) -> CheckResult:
    """Return whether big values can be compressed the faster way."""
    if has_lz4:
        return CheckResult("lz4")
    found = "This Postgres cannot compress with lz4, so merges into big rows take longer"
    return CheckResult("lz4", "note", found, "use version 14 or newer, built with lz4, if that matters")
