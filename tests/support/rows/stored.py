"""Rows in a database, for tests that look at every byte of them."""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowContext
from tests.support.events.flows import COLUMNS
from tests.support.model.jsonb import SQL_NULL, json_text, read_json

Row = dict[str, Any]

_TABLE = "migration.crewai_flow_state_extensions"
_PLAIN = ("flow_status", "retry_count", "updated_at", "created_at")


async def insert_rows(
    session: AsyncSession, context: FlowContext, flow_ids: Iterable[UUID], row: Row
) -> None:
    """Add flows with these columns."""
    names = [*COLUMNS, *_PLAIN]
    values = ", ".join(f"cast(:{name} as jsonb)" if name in COLUMNS else f":{name}" for name in names)
    await session.execute(
        text(
            "insert into migration.crewai_flow_state_extensions"
            f" (id, flow_id, client_account_id, engagement_id, user_id, flow_type, {', '.join(names)})"
            " select gen_random_uuid(), flow_id, :client_account_id, :engagement_id, :user_id,"
            f" 'discovery', {values} from unnest(cast(:flow_ids as uuid[])) as flow_id"
        ),
        {"flow_ids": list(flow_ids), **context.model_dump(), **_arguments(row)},
    )


async def write(session: AsyncSession, flow_ids: Iterable[UUID], changes: Row) -> None:
    """Set columns, as another writer does it."""
    sets = ", ".join(
        f"{name} = cast(:{name} as jsonb)" if name in COLUMNS else f"{name} = :{name}" for name in changes
    )
    await session.execute(
        text(f"update {_TABLE} set {sets} where flow_id = any(:flow_ids)"),
        {"flow_ids": list(flow_ids), **_arguments(changes)},
    )


async def printed(session: AsyncSession, flow_ids: Iterable[UUID]) -> list[dict[str, Any]]:
    """Return the rows in this order, as Postgres prints them."""
    columns = ", ".join(f"{name}::text" for name in COLUMNS)
    found = await session.execute(
        text(f"select flow_id, flow_status, retry_count, {columns} from {_TABLE} where flow_id = any(:ids)"),
        {"ids": list(flow_ids)},
    )
    rows = {row.pop("flow_id"): row for row in map(dict, found.mappings())}
    return [rows[flow_id] for flow_id in flow_ids]


def differences(one: Row, other: Row) -> dict[str, tuple[str, str]]:
    """Return of each column that differs the place where it begins to."""
    found = {}
    for name, value in one.items():
        pair = str(value), str(other[name])
        if pair[0] != pair[1]:
            same = takewhile(lambda chars: chars[0] == chars[1], zip(*pair, strict=False))
            at = max(sum(1 for _ in same) - 60, 0)
            found[name] = (pair[0][at : at + 160], pair[1][at : at + 160])
    return found


def printed_row(row: Row) -> dict[str, Any]:
    """Return a row as Postgres prints it."""
    texts = {name: None if row[name] is SQL_NULL else json_text(row[name]) for name in COLUMNS}
    return {"flow_status": row["flow_status"], "retry_count": row["retry_count"], **texts}


def read_row(printed: Mapping[str, Any]) -> Row:
    """Return the columns of a printed row as Python holds JSON."""
    return {
        name: value if name not in COLUMNS else SQL_NULL if value is None else read_json(value)
        for name, value in printed.items()
    }


def _arguments(row: Row) -> Row:
    return {
        name: value if name not in COLUMNS else None if value is SQL_NULL else json_text(value)
        for name, value in row.items()
    }
