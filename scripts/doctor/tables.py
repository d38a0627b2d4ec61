"""Whether the tables have the shape that the code needs."""

import re
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import ColumnProperty, Mapper

from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.tables import SCHEMA, CrewAIFlowStateExtensions, DiscoveryFlow, Table
from masterflow.tasks.check_result import CheckResult, Level

_STATUS_CHECK: Final = "chk_valid_flow_status"

# What the code writes and reads alike, whichever of them the column has.
_ALIKE: Final = {
    "TEXT": "VARCHAR",
    "REAL": "DOUBLE PRECISION",
    "FLOAT": "DOUBLE PRECISION",
    "NUMERIC": "DOUBLE PRECISION",
    "SMALLINT": "INTEGER",
    "BIGINT": "INTEGER",
}
# What finds the master of a child. Backfill and status read every other column of it as they find it.
_MATCHED: Final = frozenset({"flow_id", "client_account_id", "engagement_id"})
_ONLY_FOR: Final = ", which DiscoveryFlowRepository needs, and neither backfill nor status"
_IF_USED: Final = ", if you use that"

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # it has no annotations


def table_results(connection: Connection) -> list[CheckResult]:
    """Return what was found about both tables; a `DBAPIError` passes."""
    inspector = inspect(connection)
    results: list[CheckResult] = []
    for table in (CrewAIFlowStateExtensions, DiscoveryFlow):
        results += _table(inspector, table)
    return results


def _table(inspector: Inspector, table: type[Table]) -> list[CheckResult]:
    name = table.__tablename__
    if not inspector.has_table(name, schema=SCHEMA):
        return [
            CheckResult(name, "problem", f"The table {SCHEMA}.{name} is missing", "run `flowctl init-db`")
        ]
    present = {column["name"]: column["type"] for column in inspector.get_columns(name, schema=SCHEMA)}
    results = _columns(inspect(table), present)
    if name in {*inspector.get_view_names(SCHEMA), *inspector.get_materialized_view_names(SCHEMA)}:
        found = f"{SCHEMA}.{name} is a view, and what is unique or checked beneath it is not seen here"
        results.append(CheckResult(name, "note", found, "see that flow_id is unique in its table"))
    else:
        results += _flow_id(inspector, name)
        results += _status_check(inspector, name) if table is CrewAIFlowStateExtensions else []
    return results or [CheckResult(name)]


def _columns(mapper: Mapper[Any], present: dict[str, Any]) -> list[CheckResult]:
    name = mapper.local_table.name  # type: ignore[attr-defined]  # a mapped table has one
    attributes = list(mapper.column_attrs)
    is_child = mapper.class_ is DiscoveryFlow
    needed = [it for it in attributes if not is_child or it.key in _MATCHED]
    others = [it for it in attributes if it not in needed]
    results = [*_misfits("problem", name, needed, present), *_misfits("note", name, others, present)]
    if later := [it.key for it in attributes if it.deferred and it.key not in present]:
        found = f"{name} lacks the later column {_and(later)}, which nothing here needs"
        results.append(CheckResult(name, "note", found, "add it if your application reads it"))
    return results


def _misfits(
    level: Level, name: str, attributes: Sequence[ColumnProperty[Any]], present: dict[str, Any]
) -> list[CheckResult]:
    """Return which of these columns are missing, and which have another type."""
    missing = [it.key for it in attributes if it.key not in present and not it.deferred]
    wrong = [said for it in attributes if it.key in present and (said := _mismatch(it, present[it.key]))]
    for_whom, if_used = (_ONLY_FOR, _IF_USED) if level == "note" else ("", "")
    results = []
    if missing:
        found = f"{name} lacks the column {_and(missing)}{for_whom}"
        advice = f"add it as repository/tables.py declares it{if_used}"
        results.append(CheckResult(name, level, found, advice))
    if wrong:
        advice = f"change the type to that of repository/tables.py{if_used}"
        results.append(CheckResult(name, level, f"In {name} {_and(wrong)}{for_whom}", advice))
    return results


def _mismatch(attribute: ColumnProperty[Any], found: Any) -> str:
    wanted, has = _kind(attribute.columns[0].type), _kind(found)
    if wanted == has or (wanted, has) == ("JSON", "JSONB"):
        return ""
    return f"{attribute.key} is {has}, not {wanted}"


def _kind(type_: Any) -> str:
    name = re.sub(r"\s*\([\d, ]+\)", "", str(type_.compile(dialect=_DIALECT)))
    return _ALIKE.get(name, name)


def _flow_id(inspector: Inspector, name: str) -> list[CheckResult]:
    unique = [
        *inspector.get_unique_constraints(name, schema=SCHEMA),
        *(index for index in inspector.get_indexes(name, schema=SCHEMA) if index["unique"]),
    ]
    if any(it["column_names"] == ["flow_id"] for it in unique):
        return []
    found = f"{name}.flow_id is not unique, so creating a flow fails and merges read the whole table"
    return [CheckResult(name, "problem", found, "add a unique constraint on flow_id")]


def _status_check(inspector: Inspector, name: str) -> list[CheckResult]:
    checks = {it["name"]: it["sqltext"] for it in inspector.get_check_constraints(name, schema=SCHEMA)}
    if _STATUS_CHECK not in checks:
        found = f"{name} has no CHECK {_STATUS_CHECK}, so others may write a status nobody here knows"
        return [CheckResult(name, "note", found, "add it as repository/tables.py declares it")]
    refused = [status for status in FLOW_STATUSES if f"'{status}'" not in checks[_STATUS_CHECK]]
    if not refused:
        return []
    found = f"The CHECK {_STATUS_CHECK} refuses the status {_and(refused)}, so merges of it fail"
    return [CheckResult(name, "problem", found, "widen it as repository/tables.py declares it")]


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
