"""Decommission flows: systems that are shut down, and their data kept."""

from typing import Final

from masterflow.domain.flow_types.specification import ChildTable, FlowSpec

DECOMMISSION: Final = FlowSpec(
    flow_type="decommission",
    courses=(("decommission_planning", "data_migration", "system_shutdown"),),
    child=ChildTable(
        name="decommission_flows",
        completed={
            "decommission_planning": "decommission_planning_status",
            "data_migration": "data_migration_status",
            "system_shutdown": "system_shutdown_status",
        },
        progress="",
        completed_at="system_shutdown_completed_at",
    ),
)
