"""The phases of a discovery flow: their order, the progress each stands for, and other names in use."""

from typing import Final

#: Canonical phases in order, with the progress (percent) at which each one starts.
PHASE_PROGRESS: Final[dict[str, int]] = {
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
}

PHASES: Final[tuple[str, ...]] = tuple(PHASE_PROGRESS)

#: Names that other code and older documents use for the same phases.
PHASE_ALIASES: Final[dict[str, str]] = {
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
}


_CANONICAL: Final = {phase: phase for phase in PHASES} | PHASE_ALIASES


def canonical_phase(name: str) -> str | None:
    """Return the canonical name of a discovery phase, or None when the name is not one of them."""
    return _CANONICAL.get(name) or _CANONICAL.get(name.strip().lower())


def phase_order(name: str) -> int:
    """Return a phase's place in the canonical order; unknown phases come last."""
    phase = canonical_phase(name)
    return PHASES.index(phase) if phase else len(PHASES)
