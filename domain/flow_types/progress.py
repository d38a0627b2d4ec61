"""How far a flow is, in percent: of its phases, of its child row, of what it told; computed here only."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

from masterflow.domain.flow_types.catalog import phases_of, specification
from masterflow.domain.flow_types.specification import FlowSpec
from masterflow.domain.json_shapes import number_of

_COMPLETE: Final = 100.0

# Where a snapshot says it.
_TOLD: Final = ("progress_percentage", "progress")


def progress_of(
    flow_type: str, *, status: str, phase: str | None, snapshot: Mapping[str, object]
) -> tuple[float | None, str | None]:
    """Return how far a flow is, 0 to 100, with why that is not what its phases say; either may be None."""
    told = next((number for name in _TOLD if (number := number_of(snapshot.get(name))) is not None), None)
    reached = None if told is None else min(_COMPLETE, max(0.0, told))
    if status == "completed":
        is_short = reached is not None and reached < _COMPLETE
        return _COMPLETE, f"Completed, with its phases at {reached:g} %." if is_short else None
    if reached is None and phase:
        reached = progress_at_start(flow_type, phase)
    return reached, None


@lru_cache(maxsize=1_000)
def progress_at_start(flow_type: str | None, phase: str) -> float | None:
    """Return at which percentage, at least, a phase of such a flow starts; None where that is not known."""
    spec = specification(flow_type)
    name = spec.phase(phase) if spec else None
    if spec is None or name is None:
        return None
    if spec.starts_at:
        return spec.starts_at.get(name)
    shares = [phases.index(name) / len(phases) for phases in phases_of(flow_type, [phase])]
    return round(_COMPLETE * min(shares), 1) if shares else None


def percent_done(phases: Sequence[str], states: Mapping[str, str], still_open: Collection[str]) -> float:
    """Return the percentage of these phases that is done; of one that is open (again), nothing counts."""
    done = not_seen = 0
    for name in phases:
        status = states.get(name)
        if status is None:
            not_seen += 1
            continue
        # What comes before a phase that was entered, and was not seen here, was done elsewhere.
        done, not_seen = done + not_seen, 0
        done += status == "completed" and name not in still_open
    return round(percent_of(done, len(phases)), 1)


def percent_of(complete: int, phases: int) -> float:
    """Return the percentage of so many phases that are complete."""
    return _COMPLETE * complete / phases


def share_complete(spec: FlowSpec, completed: Collection[str]) -> float | None:
    """Return the percentage that complete phases are of a child row; None where its versions disagree."""
    done = set(completed)
    shares = {round(percent_of(len(done & set(one)), len(one)), 2) for one in spec.child_courses}
    return shares.pop() if len(shares) == 1 else None


def proven_at(spec: FlowSpec, phase: str) -> float | None:
    """Return the percentage of a child row from which on a phase is complete, in whatever version it counts.

    It is None where one of the versions leaves the phase alone.
    """
    courses = spec.child_courses
    if not all(phase in course for course in courses):
        return None
    return max(percent_of(course.index(phase) + 1, len(course)) for course in courses)
