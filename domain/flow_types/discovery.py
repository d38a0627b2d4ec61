"""Discovery flows: what a CMDB export holds, cleaned and sorted."""

from typing import Final

from masterflow.domain.flow_types.specification import ChildTable, FlowSpec

DISCOVERY: Final = FlowSpec(
    flow_type="discovery",
    courses=(
        (
            "initialization",
            "data_import",
            "data_validation",
            "field_mapping_generation",
            "field_mapping_approval",
            "data_cleansing",
            "asset_inventory",
            "dependency_analysis",
            "tech_debt_assessment",
            "sixr_strategy",
            "finalization",
        ),
    ),
    aliases={
        "data_import_phase": "data_import",
        "data_import_validation": "data_validation",
        "field_mapping": "field_mapping_generation",
        "field_mapping_phase": "field_mapping_generation",
        "field_mapping_suggestions": "field_mapping_generation",
        "attribute_mapping": "field_mapping_generation",
        "mapping_application": "field_mapping_approval",
        "data_cleansing_phase": "data_cleansing",
        "inventory": "asset_inventory",
        "asset_creation": "asset_inventory",
        "asset_intelligence_phase": "asset_inventory",
        "dependencies": "dependency_analysis",
        "tech_debt": "tech_debt_assessment",
        "tech_debt_analysis": "tech_debt_assessment",
        "completed": "finalization",
        "completion_phase": "finalization",
    },
    starts_at={
        "initialization": 0,
        "data_import": 10,
        "data_validation": 20,
        "field_mapping_generation": 30,
        "field_mapping_approval": 40,
        "data_cleansing": 50,
        "asset_inventory": 60,
        "dependency_analysis": 70,
        "tech_debt_assessment": 80,
        "sixr_strategy": 90,
        "finalization": 100,
    },
    # Each is fed by the one before.
    required=frozenset({"data_import", "field_mapping_generation", "data_cleansing", "asset_inventory"}),
    child=ChildTable(
        name="discovery_flows",
        completed={
            "data_import": "data_import_completed",
            "data_validation": "data_validation_completed",  # since October 2025
            "field_mapping_generation": "field_mapping_completed",
            "field_mapping_approval": "field_mapping_completed",
            "data_cleansing": "data_cleansing_completed",
            "asset_inventory": "asset_inventory_completed",
            "dependency_analysis": "dependency_analysis_completed",
            "tech_debt_assessment": "tech_debt_assessment_completed",
        },
        courses={
            "2025": (
                "data_import",
                "field_mapping_generation",
                "data_cleansing",
                "asset_inventory",
                "dependency_analysis",
                "tech_debt_assessment",
            ),
            # The columns of the last two are there still, and left alone.
            "v3": (
                "data_import",
                "data_validation",
                "field_mapping_generation",
                "data_cleansing",
                "asset_inventory",
            ),
        },
        phases_completed="phases_completed",
        document="crewai_state_data",
        assets="discovered_assets",
        error_message="error_message",
        error_phase="error_phase",
        error_details="error_details",
    ),
)
