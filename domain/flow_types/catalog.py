"""Every type of flow that is specified; one that is not here has no order and no percentage."""

from collections.abc import Collection
from typing import Final

from masterflow.domain.flow_types.assessment import ASSESSMENT
from masterflow.domain.flow_types.childless import EXECUTION, FINOPS, MODERNIZE, OBSERVABILITY
from masterflow.domain.flow_types.collection import COLLECTION
from masterflow.domain.flow_types.decommission import DECOMMISSION
from masterflow.domain.flow_types.discovery import DISCOVERY
from masterflow.domain.flow_types.planning import PLANNING
from masterflow.domain.flow_types.specification import ChildTable, FlowSpec

_EVERY: Final = (
    DISCOVERY,
    ASSESSMENT,
    COLLECTION,
    PLANNING,
    EXECUTION,
    MODERNIZE,
    FINOPS,
    OBSERVABILITY,
    DECOMMISSION,
)

SPECIFICATIONS: Final[dict[str, FlowSpec]] = {spec.flow_type: spec for spec in _EVERY}

#: The table of those that keep child rows.
CHILD_TABLES: Final[dict[str, ChildTable]] = {spec.flow_type: spec.child for spec in _EVERY if spec.child}


def specification(flow_type: str | None) -> FlowSpec | None:
    """Return what is specified of a type, or None."""
    return SPECIFICATIONS.get(flow_type or "")


def phases_of(flow_type: str | None, seen: Collection[str]) -> list[tuple[str, ...]]:
    """Return the sets of phases, in order, that fit best to what a flow has entered; none if none does."""
    spec = specification(flow_type)
    if spec is None:
        return []
    names = {spec.name(phase) for phase in seen}
    fits = {phases: len(names & set(phases)) for phases in spec.courses}
    return [phases for phases, fit in fits.items() if fit and fit == max(fits.values())]
