"""The eighteen masters and children of a dump of July 2025, made anew in their shapes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.events.child_rows import MAIN_COLUMNS

#: Columns that masters lacked in July.
LATER_MASTER_COLUMNS = (
    "phase_transitions",
    "error_history",
    "retry_count",
    "parent_flow_id",
    "child_flow_ids",
    "flow_metadata",
)

#: Columns that children lacked in July.
LATER_COLUMNS = (
    "flow_type",
    "current_phase",
    "phases_completed",
    "crew_outputs",
    "field_mappings",
    "discovered_assets",
    "dependencies",
    "tech_debt_analysis",
    "data_validation_completed",
)

_SECTIONS = ("data_import", "attribute_mapping", "data_cleansing", "inventory", "dependencies", "tech_debt")
#: What each section adds to what the one before says is complete.
_DONE: tuple[dict[str, bool], ...] = (
    {"data_import": True},
    {"attribute_mapping": True},
    {"data_cleansing": True},
    {"asset_creation": True},
    {"asset_inventory": True},
    {},
)
_NOTHING = dict.fromkeys(
    (
        "data_import",
        "field_mapping",
        "asset_creation",
        "data_cleansing",
        "asset_inventory",
        "tech_debt_analysis",
        "dependency_analysis",
    ),
    False,
)
_EVERYTHING = dict.fromkeys((*_NOTHING, "attribute_mapping"), True) | {"field_mapping": False}

_AT = "2025-06-28T13:02:12.355063"


@dataclass(frozen=True, kw_only=True)
class JulyRow:
    """One of them: the columns of its child that are not empty, and the status of its master."""

    complete: int
    child_status: str = "active"
    master_status: str = "completed"
    document: dict[str, Any]
    persistence: dict[str, Any] = field(default_factory=dict)

    @property
    def child(self) -> dict[str, Any]:
        """Return the columns of the child."""
        return {
            **dict.fromkeys(MAIN_COLUMNS[: self.complete], True),
            "status": self.child_status,
            "progress_percentage": 66.7 if self.complete == 4 else self.complete * 100 / 6,
            "crewai_state_data": self.document,
        }


def july_rows() -> Iterator[JulyRow]:
    """Yield the rows."""
    for _ in range(5):
        yield JulyRow(complete=6, child_status="waiting_for_user", document=_document(6, is_saved_last=True))
    for _ in range(3):
        yield JulyRow(complete=6, document=_document(6, is_saved_last=True))
    cleansed = {"agent_results": {}, "assets_promoted": 20, "confidence_score": 0.9}
    yield JulyRow(
        complete=6,
        master_status="initialized",
        document=_document(6, is_saved_last=True) | {"data_cleansing": cleansed, "records_total": 20},
        persistence={"created_from": "discovery_flow_service", "raw_data_sample": [{"OS": ""}]},
    )
    summary = {"timestamp": "2025-06-28T02:30:00.551002", "total_assets": 20, "crewai_summary": {}}
    for _ in range(2):
        yield JulyRow(complete=6, document=_document(6) | {"tech_debt": summary})
    for _ in range(2):
        yield JulyRow(complete=5, document=_document(5) | {"inventory": {"assets": [], "confidence": 1}})
    yield JulyRow(complete=5, document=_document(5) | {"legacy_migration": True, "crewai_state": {}})
    yield JulyRow(complete=4, document=_document(3) | {"legacy_migration": True, "crewai_state": {}})
    yield JulyRow(complete=0, document={"test": True})
    for body in ({"test": True}, {"test_creation": True}):
        sample = {"created_from": "discovery_flow_service", "raw_data_sample": [{"name": "test-asset"}]}
        yield JulyRow(complete=0, master_status="initialized", document=body, persistence=sample)


def _document(sections: int, *, is_saved_last: bool = False) -> dict[str, Any]:
    """Return a document that repeats the whole state per section; its mapping may be what was saved last."""
    chance = random.Random(sections)
    rows = [{"Name": f"APP{number}", "note": f"{chance.random()}"} for number in range(200)]
    done = dict(_NOTHING)
    document: dict[str, Any] = {"source": "data_import", "filename": "cmdb.csv", "agent_insights": [{}]}
    for name, added in zip(_SECTIONS[:sections], _DONE, strict=False):
        done |= added
        document[name] = _section(done, rows)
    if is_saved_last:
        document["attribute_mapping"] = {**_section(_EVERYTHING, rows), "status": "waiting_for_user"}
    return document


def _section(done: dict[str, bool], rows: list[dict[str, str]]) -> dict[str, Any]:
    state = {
        "phase_completion": dict(done),
        "raw_data": rows,
        "started_at": _AT,
        "updated_at": _AT,
        "completed_at": None,
        "errors": [],
    }
    return {"status": "running", "progress": 20.0, "crew_status": {}, "legacy_data": state}
