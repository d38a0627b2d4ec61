"""What each type of flow keeps in its child table: which, the phases in order, and what proves them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One version of one type's child table; phases by their canonical names, in order."""

    flow_type: str
    table: str
    phases: tuple[str, ...]
    #: The column that says a phase is complete; phases without one are proven by lists and maps alone.
    column_of: Mapping[str, str]
    #: Phases that no flow of the type leaves out: who is in a later one has them behind.
    required: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of the phases that have one, in order."""
        return tuple(self.column_of[phase] for phase in self.phases if phase in self.column_of)

    def proven_at(self, phase: str) -> float:
        """Return the progress in percent from which on a phase is complete, if each counts the same."""
        return 100 * (self.phases.index(phase) + 1) / len(self.phases)


_FED_BY_EACH_OTHER: Final = frozenset(
    {"data_import", "field_mapping_generation", "data_cleansing", "asset_inventory"}
)

#: Of 2025, six phases.
DISCOVERY: Final = ChildSpec(
    flow_type="discovery",
    table="discovery_flows",
    phases=(
        "data_import",
        "field_mapping_generation",
        "data_cleansing",
        "asset_inventory",
        "dependency_analysis",
        "tech_debt_assessment",
    ),
    column_of={
        "data_import": "data_import_completed",
        "field_mapping_generation": "field_mapping_completed",
        "data_cleansing": "data_cleansing_completed",
        "asset_inventory": "asset_inventory_completed",
        "dependency_analysis": "dependency_analysis_completed",
        "tech_debt_assessment": "tech_debt_assessment_completed",
    },
    required=_FED_BY_EACH_OTHER,
)

#: Of the newest application: five phases make a hundred percent, the last two of old are left alone.
DISCOVERY_V3: Final = ChildSpec(
    flow_type="discovery",
    table="discovery_flows",
    phases=(
        "data_import",
        "data_validation",
        "field_mapping_generation",
        "data_cleansing",
        "asset_inventory",
    ),
    column_of={
        "data_import": "data_import_completed",
        "data_validation": "data_validation_completed",
        "field_mapping_generation": "field_mapping_completed",
        "data_cleansing": "data_cleansing_completed",
        "asset_inventory": "asset_inventory_completed",
    },
    required=_FED_BY_EACH_OTHER,
)
