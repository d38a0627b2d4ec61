"""Assessment flows: how each application is to move, and at what risk."""

from typing import Final

from masterflow.domain.flow_types.specification import ChildTable, FlowSpec

ASSESSMENT: Final = FlowSpec(
    flow_type="assessment",
    courses=(
        (
            "readiness_assessment",
            "architecture_minimums",
            "complexity_analysis",
            "dependency_analysis",
            "tech_debt_assessment",
            "risk_assessment",
            "recommendation_generation",
        ),
    ),
    aliases={
        "initialization": "readiness_assessment",
        "component_sixr_strategies": "risk_assessment",
        "app_on_page_generation": "recommendation_generation",
        "finalization": "recommendation_generation",
    },
    child=ChildTable(
        name="assessment_flows",
        flow_id="id",
        progress="progress",
        document="phase_results",
        # Results are kept once, when their phase is over.
        section_end="persisted_at",
    ),
)
