"""The phases of each type of flow: their order, the progress they stand for, and other names in use."""

from collections.abc import Collection
from functools import lru_cache
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


#: The types that the table's CHECK constraint `chk_valid_flow_type` allows, each with the phases that such
#: flows go through, in order; where two sets of names are in use, both.
FLOW_PHASES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "discovery": (PHASES,),
    "assessment": (
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
    "collection": (
        (
            "asset_selection",
            "auto_enrichment",
            "gap_analysis",
            "questionnaire_generation",
            "manual_collection",
            "synthesis",
        ),
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
    "planning": (
        ("wave_planning", "resource_planning", "timeline_optimization"),
        ("wave_planning", "resource_allocation", "timeline_generation", "cost_estimation", "synthesis"),
    ),
    "execution": (("pre_migration_validation", "migration_execution", "post_migration_validation"),),
    "modernize": (("modernization_assessment", "architecture_redesign", "implementation_planning"),),
    "finops": (("cost_analysis", "optimization_identification", "budget_planning"),),
    "observability": (("monitoring_setup", "logging_configuration", "alerting_setup"),),
    "decommission": (("decommission_planning", "data_migration", "system_shutdown"),),
}

FLOW_TYPES: Final[tuple[str, ...]] = tuple(FLOW_PHASES)

_TYPE_ALIASES: Final[dict[str, dict[str, str]]] = {
    "assessment": {
        "initialization": "readiness_assessment",
        "finalization": "recommendation_generation",
    },
    "collection": {"finalization": "synthesis"},
}


def phases_of(flow_type: str | None, seen: Collection[str]) -> list[tuple[str, ...]]:
    """Return the sets of phases, in order, that fit best to what a flow has entered; none if none does."""
    names = {name_in(flow_type, phase) for phase in seen}
    fits = {phases: len(names & set(phases)) for phases in FLOW_PHASES.get(flow_type or "", ())}
    return [phases for phases, fit in fits.items() if fit and fit == max(fits.values())]


@lru_cache(maxsize=1_000)
def types_with(phase: str) -> tuple[str, ...]:
    """Return the types of flows that have this phase."""
    return tuple(flow_type for flow_type in FLOW_TYPES if phases_of(flow_type, [phase]))


def progress_at_start(flow_type: str, phase: str) -> float | None:
    """Return at which percentage, at least, a phase of such a flow starts; None where that is not known."""
    if flow_type == "discovery":
        return PHASE_PROGRESS.get(canonical_phase(phase) or "")
    name = name_in(flow_type, phase)
    shares = [phases.index(name) / len(phases) for phases in phases_of(flow_type, [phase])]
    return round(100 * min(shares), 1) if shares else None


@lru_cache(maxsize=1_000)
def name_in(flow_type: str | None, phase: str) -> str:
    """Return the name that a phase has among those of a type, if it is one of them."""
    name = phase.strip().lower()
    if flow_type == "discovery":
        return canonical_phase(name) or name
    return _TYPE_ALIASES.get(flow_type or "", {}).get(name, name)


def canonical_phase(name: str) -> str | None:
    """Return the canonical name of a discovery phase, or None when the name is not one of them."""
    return _CANONICAL.get(name) or _CANONICAL.get(name.strip().lower())


def phase_order(name: str, flow_type: str = "discovery") -> int:
    """Return a phase's place in the order of such flows; unknown phases come last."""
    phase = name_in(flow_type, name)
    places = [phases.index(phase) for phases in phases_of(flow_type, [name])]
    return min(places) if places else len(PHASES)
