"""Whether the tables have the shape that the code needs."""

import re
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import ColumnProperty, Mapper

from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.tables import SCHEMA, CrewAIFlowStateExtensions, DiscoveryFlow, Table
from masterflow.tasks.findings import Finding

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
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # it has no annotations


def table_findings(connection: Connection) -> list[Finding]:
    """Return what was found about both tables; a `DBAPIError` passes."""
    inspector = inspect(connection)
    findings: list[Finding] = []
    for table in (CrewAIFlowStateExtensions, DiscoveryFlow):
        findings += _table(inspector, table)
    return findings


def _table(inspector: Inspector, table: type[Table]) -> list[Finding]:
    name = table.__tablename__
    if not inspector.has_table(name, schema=SCHEMA):
        return [Finding(name, "problem", f"The table {SCHEMA}.{name} is missing", "run `flowctl init-db`")]
    present = {column["name"]: column["type"] for column in inspector.get_columns(name, schema=SCHEMA)}
    findings = [*_columns(inspect(table), present), *_flow_id(inspector, name)]
    if table is CrewAIFlowStateExtensions:
        findings += _status_check(inspector, name)
    return findings or [Finding(name)]


def _columns(mapper: Mapper[Any], present: dict[str, Any]) -> list[Finding]:
    name = mapper.local_table.name  # type: ignore[attr-defined]  # a mapped table has one
    attributes = list(mapper.column_attrs)
    missing = [it for it in attributes if it.key not in present]
    later = [it.key for it in missing if it.deferred]
    needed = [it.key for it in missing if not it.deferred]
    wrong = [said for it in attributes if it.key in present and (said := _mismatch(it, present[it.key]))]
    findings = []
    if needed:
        found = f"{name} lacks the column {_and(needed)}"
        findings.append(Finding(name, "problem", found, "add it as repository/tables.py declares it"))
    if wrong:
        advice = "change the type to that of repository/tables.py"
        findings.append(Finding(name, "problem", f"In {name} {_and(wrong)}", advice))
    if later:
        found = f"{name} lacks the later column {_and(later)}, which nothing here needs"
        findings.append(Finding(name, "note", found, "add it if your application reads it"))
    return findings


def _mismatch(attribute: ColumnProperty[Any], found: Any) -> str:
    wanted, has = _kind(attribute.columns[0].type), _kind(found)
    if wanted == has or (wanted, has) == ("JSON", "JSONB"):
        return ""
    return f"{attribute.key} is {has}, not {wanted}"


def _kind(type_: Any) -> str:
    name = re.sub(r"\s*\([\d, ]+\)", "", str(type_.compile(dialect=_DIALECT)))
    return _ALIKE.get(name, name)


def _flow_id(inspector: Inspector, name: str) -> list[Finding]:
    unique = [
        *inspector.get_unique_constraints(name, schema=SCHEMA),
        *(index for index in inspector.get_indexes(name, schema=SCHEMA) if index["unique"]),
    ]
    if any(it["column_names"] == ["flow_id"] for it in unique):
        return []
    found = f"{name}.flow_id is not unique, so creating a flow fails and merges read the whole table"
    return [Finding(name, "problem", found, "add a unique constraint on flow_id")]


def _status_check(inspector: Inspector, name: str) -> list[Finding]:
    checks = {it["name"]: it["sqltext"] for it in inspector.get_check_constraints(name, schema=SCHEMA)}
    if _STATUS_CHECK not in checks:
        found = f"{name} has no CHECK {_STATUS_CHECK}, so others may write a status nobody here knows"
        return [Finding(name, "note", found, "add it as repository/tables.py declares it")]
    refused = [status for status in FLOW_STATUSES if f"'{status}'" not in checks[_STATUS_CHECK]]
    if not refused:
        return []
    found = f"The CHECK {_STATUS_CHECK} refuses the status {_and(refused)}, so merges of it fail"
    return [Finding(name, "problem", found, "widen it as repository/tables.py declares it")]


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
