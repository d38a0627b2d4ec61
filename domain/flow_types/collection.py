"""Collection flows: what is not known of the assets yet, asked of agents and of people."""

from typing import Final

from masterflow.domain.flow_types.specification import ChildTable, FlowSpec

COLLECTION: Final = FlowSpec(
    flow_type="collection",
    courses=(
        (
            "asset_selection",
            "auto_enrichment",
            "gap_analysis",
            "questionnaire_generation",
            "manual_collection",
            "synthesis",
        ),
        # As its state manager names them.
        (
            "initialization",
            "asset_selection",
            "auto_enrichment",
            "gap_analysis",
            "questionnaire_generation",
            "manual_collection",
            "data_validation",
            "synthesis",
        ),
    ),
    aliases={
        "platform_detection": "asset_selection",
        "automated_collection": "asset_selection",
        "finalization": "synthesis",
    },
    # Nothing is required: assets come selected from discovery, and where no gap is there is nothing to ask.
    child=ChildTable(
        name="collection_flows",
        document="phase_results",
        error_message="error_message",
        error_details="error_details",
    ),
)
