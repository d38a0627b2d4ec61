"""The phases of each type of flow: their order, and the names in use; all from their specifications."""

from functools import lru_cache
from typing import Final

from masterflow.domain.flow_types.catalog import SPECIFICATIONS, phases_of, specification
from masterflow.domain.flow_types.discovery import DISCOVERY

#: Phases of discovery in order, with the progress (percent) at which each one starts.
PHASE_PROGRESS: Final[dict[str, int]] = dict(DISCOVERY.starts_at)

PHASES: Final[tuple[str, ...]] = DISCOVERY.order

#: What the table's CHECK constraint `chk_valid_flow_type` allows.
FLOW_TYPES: Final[tuple[str, ...]] = tuple(SPECIFICATIONS)


@lru_cache(maxsize=1_000)
def types_with(phase: str) -> tuple[str, ...]:
    """Return the types of flows that have this phase."""
    return tuple(flow_type for flow_type in FLOW_TYPES if phases_of(flow_type, [phase]))


@lru_cache(maxsize=1_000)
def name_in(flow_type: str | None, phase: str) -> str:
    """Return the name that a phase has among those of a type, if it is one of them."""
    spec = specification(flow_type)
    return spec.name(phase) if spec else phase.strip().lower()


def canonical_phase(name: str) -> str | None:
    """Return the canonical name of a discovery phase, or None when the name is not one of them."""
    return DISCOVERY.phase(name)


def phase_order(name: str, flow_type: str = "discovery") -> int:
    """Return a phase's place in the order of such flows; unknown phases come last."""
    spec = specification(flow_type)
    return spec.place(spec.name(name)) if spec else 0
