"""Planning flows: which application moves when, and who does it."""

from typing import Final

from masterflow.domain.flow_types.specification import FlowSpec

#: The tenant ids of its child table are integers, which no master's can be compared with.
PLANNING: Final = FlowSpec(
    flow_type="planning",
    courses=(
        ("wave_planning", "resource_planning", "timeline_optimization"),
        # As the CHECK of its child table names them.
        ("wave_planning", "resource_allocation", "timeline_generation", "cost_estimation", "synthesis"),
    ),
)
