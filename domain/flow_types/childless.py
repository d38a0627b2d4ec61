"""The types of flows that keep no child rows."""

from typing import Final

from masterflow.domain.flow_types.specification import FlowSpec

EXECUTION: Final = FlowSpec(
    flow_type="execution",
    courses=(("pre_migration_validation", "migration_execution", "post_migration_validation"),),
)

MODERNIZE: Final = FlowSpec(
    flow_type="modernize",
    courses=(("modernization_assessment", "architecture_redesign", "implementation_planning"),),
)

FINOPS: Final = FlowSpec(
    flow_type="finops",
    courses=(("cost_analysis", "optimization_identification", "budget_planning"),),
)

OBSERVABILITY: Final = FlowSpec(
    flow_type="observability",
    courses=(("monitoring_setup", "logging_configuration", "alerting_setup"),),
)
