"""Child rows of every shape that the field knows, made anew, and how they get into a database."""

import json
import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowContext
from masterflow.domain.children.child_flow import MAIN_COLUMNS, ChildFlow

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
_JSON = ("phases_completed", "crewai_state_data", "error_details")


def child_flow(**columns: Any) -> ChildFlow:
    """Return a child row as the backfill reads it, from the columns that differ from an empty one's."""
    assert columns.keys() <= {*_COLUMNS, "data_validation_completed", "updated_at"}
    row = _COLUMNS | {"updated_at": WRITTEN_AT} | columns
    return ChildFlow(
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
    """Insert a child row."""
    row = _COLUMNS | columns
    names = ", ".join(row)
    values = ", ".join(
        f"cast(:{name} as {'jsonb' if name == 'crewai_state_data' else 'json'})"
        if name in _JSON
        else f":{name}"
        for name in row
    )
    await session.execute(
        text(
            "insert into migration.discovery_flows (id, flow_id, master_flow_id, client_account_id,"
            f" engagement_id, user_id, flow_name, updated_at, {names})"
            " values (gen_random_uuid(), :flow_id, :master_flow_id,"
            f" :client_account_id, :engagement_id, :user_id, 'a flow', :updated_at, {values})"
        ),
        {
            **row,
            **{name: None if row[name] is None else json.dumps(row[name]) for name in _JSON},
            **context.model_dump(),
            "flow_id": flow_id,
            "master_flow_id": master_flow_id,
            "updated_at": updated_at,
        },
    )
    return flow_id


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
