"""Child rows of every shape that the field knows, made anew, and how they get into a database."""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowContext
from masterflow.domain.children.child_flow import ChildFlow
from masterflow.domain.flow_types.catalog import CHILD_TABLES
from masterflow.domain.flow_types.discovery import DISCOVERY

_TABLE = CHILD_TABLES["discovery"]

#: The six phases that every child row of discovery has a column for, in order, and those columns.
MAIN_PHASES = _TABLE.courses["2025"]
MAIN_COLUMNS = tuple(_TABLE.completed[phase] for phase in MAIN_PHASES)

WRITTEN_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

_COLUMNS: dict[str, Any] = {
    "status": "active",
    "progress_percentage": 0.0,
    "current_phase": None,
    "phases_completed": None,
    "crewai_state_data": {},
    "error_message": None,
    "error_phase": None,
    "error_details": None,
    "completed_at": None,
    **dict.fromkeys(MAIN_COLUMNS, False),
}


def child_flow(**columns: Any) -> ChildFlow:
    """Return a child row as the backfill reads it, from the columns that differ from an empty one's."""
    assert columns.keys() <= {*_COLUMNS, "data_validation_completed", "updated_at"}
    row = _COLUMNS | {"updated_at": WRITTEN_AT} | columns
    return ChildFlow(
        spec=DISCOVERY,
        flow_id=uuid4(),
        version="1",
        status=row["status"],
        completed={name: row.get(name) for name in (*MAIN_COLUMNS, "data_validation_completed")},
        progress=row["progress_percentage"],
        current_phase=row["current_phase"],
        phases_completed=row["phases_completed"],
        document=row["crewai_state_data"],
        error={
            "message": row["error_message"],
            "phase": row["error_phase"],
            "details": row["error_details"],
        },
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
    )


async def new_child(
    session: AsyncSession,
    context: FlowContext,
    flow_id: UUID,
    *,
    master_flow_id: UUID | None = None,
    updated_at: datetime = WRITTEN_AT,
    **columns: Any,
) -> UUID:
    """Insert a child row of discovery."""
    times = {"master_flow_id": master_flow_id, "updated_at": updated_at}
    return await insert_child(session, context, flow_id, {**_COLUMNS, **times, **columns})


async def insert_child(
    session: AsyncSession, context: FlowContext, flow_id: UUID, columns: Mapping[str, Any]
) -> UUID:
    """Insert a child row of discovery of which only these columns are told, whatever the table is."""
    own = {"flow_id": flow_id, "flow_name": "a flow", **context.model_dump(), "updated_at": WRITTEN_AT}
    await insert_row(session, "discovery_flows", own | dict(columns))
    return flow_id


async def insert_row(session: AsyncSession, table: str, row: Mapping[str, Any]) -> None:
    """Insert a row of a child table; objects and lists become JSON."""
    found = await session.execute(
        text(
            "select attname, format_type(atttypid, null) from pg_attribute"
            f" where attrelid = 'migration.{table}'::regclass and attnum > 0 and not attisdropped"
        )
    )
    types = {row[0]: row[1] for row in found}
    values = {
        name: json.dumps(value) if types[name].startswith("json") and value is not None else value
        for name, value in {"id": uuid4(), **row}.items()
        if name in types
    }
    listed = ", ".join(f"cast(:{name} as {types[name]})" for name in values)
    await session.execute(
        text(f"insert into migration.{table} ({', '.join(values)}) values ({listed})"), values
    )


def old_document(*, rows: int = 3, import_ended_at: str | None = None) -> dict[str, Any]:
    """Return the older shape: six sections that all say they run, most with the whole flow state of then."""
    chance = random.Random(7)
    raw = [{"hostname": f"app-prd-{number}", "note": f"{chance.random()}"} for number in range(rows)]

    def section(progress: float, done: dict[str, bool], **legacy: Any) -> dict[str, Any]:
        state = {"status": "running", "user_id": "u-77", "raw_data": raw, "phase_completion": done, **legacy}
        return {"status": "running", "progress": progress, "crew_status": {}, "legacy_data": state}

    nothing = {"data_import": True, "field_mapping": False, "data_cleansing": False}
    begin = {"started_at": "2026-02-03T08:14:22.301200", "completed_at": import_ended_at}
    return {
        "source": "data_import",
        "filename": "cmdb.csv",
        "data_import": section(20.0, nothing, updated_at="2026-02-03T08:14:22.377915", **begin),
        "attribute_mapping": section(80.0, {"data_import": True, "attribute_mapping": True}),
        "data_cleansing": section(60.0, {}),
        "inventory": section(70.0, {}),
        "dependencies": section(80.0, {}),
        "tech_debt": {"timestamp": "2026-02-03T08:21:40.551002", "total_assets": 31},
        "agent_insights": [
            {"title": "Mapping coverage", "description": "prose of an agent", "confidence_score": 71}
        ],
    }


def newer_document(*, rows: int = 3) -> dict[str, Any]:
    """Return the newer shape, in the middle of a flow that waits for approval."""
    return {
        "status": "waiting_for_approval",
        "current_phase": "field_mapping",
        "progress_percentage": 33.3,
        "awaiting_user_approval": True,
        "raw_data": [{"Server Name": f"db-{number}", "RAM": "64GB"} for number in range(rows)],
        "metadata": {"timeout_at": "2026-02-04T10:02:11.000498"},
        "data_import": {"records_processed": 412, "records_valid": 405, "records_failed": 7},
        "records_processed": 412,
        "records_valid": 405,
        "records_failed": 7,
        "field_mapping": {"field_mappings": {"Server Name": "hostname"}, "confidence": 0.82},
        "agent_insights": [{"agent": "Schema Expert", "insight": "prose of an agent"}] * 2,
    }


def failed_document() -> dict[str, Any]:
    """Return the shape of a flow that failed early, with empty sections."""
    error = {
        "phase": "data_import",
        "error": "required column missing, password=hunter2-secret",
        "timestamp": "2026-02-02T03:00:01Z",
        "details": {},
    }
    return {
        "flow_status": "failed",
        "agent_insights": [],
        "data_import": None,
        "inventory": [],
        "errors": [error],
    }


#: Columns of child rows whose master has to be caught up, by what is special about them.
SHAPES: dict[str, dict[str, Any]] = {
    "old and complete": {
        **dict.fromkeys(MAIN_COLUMNS, True),
        "progress_percentage": 100.0,
        "crewai_state_data": old_document(),
    },
    "old and 200 KB": {"progress_percentage": 66.7, "crewai_state_data": old_document(rows=700)},
    "newer, waiting": {
        "status": "waiting_for_approval",
        "data_import_completed": True,
        "progress_percentage": 33.3,
        "crewai_state_data": newer_document(),
    },
    "newer and 200 KB": {"current_phase": "field_mapping", "crewai_state_data": newer_document(rows=5_000)},
    "failed": {
        "status": "failed",
        "progress_percentage": 0.15,
        "error_message": "connection refused by postgres://u:hunter2-secret@db/x",
        "error_phase": "data_import",
        "error_details": {"error_type": "transient_io", "is_retryable": True, "recovery_hint": "prose"},
        "crewai_state_data": failed_document(),
    },
    "newest, five of five": {
        "status": "active",
        "current_phase": "asset_inventory",
        "progress_percentage": 100.0,
        "data_validation_completed": True,
        **dict.fromkeys(MAIN_COLUMNS[:4], True),
    },
    "finished, and nothing else": {"status": "completed", "completed_at": WRITTEN_AT},
    "cancelled, and nothing else": {"status": "cancelled"},
    "twice encoded": {
        "crewai_state_data": json.dumps(
            json.dumps(
                {"current_phase": "data_cleansing", "errors": [{"error": "boom", "phase": "Data Import"}]}
            )
        )
    },
    "contradicting": {
        "data_import_completed": True,
        "progress_percentage": 16.7,
        "crewai_state_data": {"data_cleansing": {"legacy_data": {"phase_completion": {"data_import": 0}}}},
    },
    "a test": {"crewai_state_data": {"test": True}},
    "no object": {"crewai_state_data": [1, 2], "phases_completed": "data_import"},
    "odd types": {
        "progress_percentage": 40.0,
        "current_phase": "",
        "phases_completed": {"data_import": True, "inventory": "yes", "nonsense": True},
        "crewai_state_data": {
            "data_import": 5,
            "inventory": "text",
            "tech_debt": [{}, {}],
            "data_cleansing": {"legacy_data": [], "errors": {"not": "a list"}, "phase_completion": [1]},
            "errors": ["plain text", 7, None, {"phase": 3, "message": "x" * 3_000}],
            "records_total": "many",
            "raw_data": "none",
        },
    },
}
