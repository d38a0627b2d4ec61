"""Which phases a child row proves complete, and by what: the more trusted witness decides."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from masterflow.domain.children.child_flow import MAIN_PHASES, ChildFlow, JsonMap, phase_of
from masterflow.domain.clock import parse_time
from masterflow.domain.json_shapes import as_list, as_map, number_of
from masterflow.domain.phases import PHASES

#: What a witness says: a phase is complete, or it is not; of others it says nothing.
Verdicts = dict[str, bool]

# A progress that proves a main phase complete on each of the scales in use: sixths, fifths, and a
# tracker's, where a phase begins at its number.
_PROVEN_AT: Final = dict(zip(MAIN_PHASES, (20, 40, 60, 80, 100, 100), strict=True))

_ROUNDING: Final = 0.05
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)


def completed_phases(child: ChildFlow) -> dict[str, str]:
    """Return what proves each complete phase, in canonical order: `{"data_import": "phases_completed"}`."""
    proofs: dict[str, str] = {}
    decided: Verdicts = {}
    for evidence, witness in _WITNESSES.items():
        for phase, is_complete in witness(child).items():
            if phase not in decided:
                decided[phase] = is_complete
                proofs[phase] = evidence
    columns = {_phase_of_column(column): column for column in child.completed}
    return {
        phase: columns[phase] if proofs[phase] == "columns" else proofs[phase]
        for phase in PHASES
        if decided.get(phase)
    }


def percentage(child: ChildFlow) -> float | None:
    """Return the progress as 0 to 100, from either scale in use; None where no number is."""
    found = [child.progress, *(child.root.get(name) for name in ("progress_percentage", "progress"))]
    numbers = [number for value in found if (number := number_of(value)) is not None]
    best = next((number for number in numbers if number > 0), numbers[0] if numbers else None)
    if best is None:
        return None
    return round(min(max(best * 100 if best <= 1 else best, 0.0), 100.0), 2)


def named_phase(child: ChildFlow) -> tuple[str, str] | None:
    """Return the current phase that the row, or else its document, names, and where it does."""
    if phase := phase_of(child.current_phase):
        return phase, "current_phase"
    if phase := phase_of(child.root.get("current_phase")):
        return phase, "crewai_state_data.current_phase"
    return None


def _phase_of_column(column: str) -> str | None:
    return phase_of(column.removesuffix("_completed"))


def _by_columns(child: ChildFlow) -> Verdicts:
    # They are false by default: where none is true, nobody kept them, and they deny nothing.
    if not any(child.completed.values()):
        return {}
    verdicts = {_phase_of_column(column): value is True for column, value in child.completed.items()}
    return {phase: value for phase, value in verdicts.items() if phase}


def _by_list(child: ChildFlow) -> Verdicts:
    names = child.phases_completed
    if isinstance(names, dict):
        return _verdicts(names)
    return {phase: True for name in as_list(names) if (phase := phase_of(name))}


def _by_newest_map(child: ChildFlow) -> Verdicts:
    # Of two maps of one time, the one in the section of the later phase is newer.
    newest: tuple[datetime, Verdicts] = (_LONG_AGO, {})
    for at, verdicts in _completion_maps(child):
        if verdicts and at >= newest[0]:
            newest = (at, verdicts)
    return newest[1]


def _completion_maps(child: ChildFlow) -> Iterator[tuple[datetime, Verdicts]]:
    """Yield each map with its time; one without is as new as any in the sections before it."""
    latest = _LONG_AGO
    for holder in (child.root, *(part for section in child.sections for part in section[2:])):
        if holder:
            at = parse_time(holder.get("updated_at")) or parse_time(holder.get("timestamp")) or latest
            latest = max(latest, at)
            yield at, _verdicts(as_map(holder.get("phase_completion")))


def _by_current_phase(child: ChildFlow) -> Verdicts:
    """Return that phases before the current one are complete and later ones not; of itself, nothing."""
    named = named_phase(child)
    if named is None:
        return {}
    place = PHASES.index(named[0])
    return {phase: PHASES.index(phase) < place for phase in MAIN_PHASES if phase != named[0]}


def _by_progress(child: ChildFlow) -> Verdicts:
    reached = (percentage(child) or 0.0) + _ROUNDING
    return {phase: True for phase, least in _PROVEN_AT.items() if reached >= least}


def _verdicts(names: JsonMap) -> Verdicts:
    """Return a map by canonical phases; of two names for one phase, the one that is true counts."""
    verdicts: Verdicts = {}
    for name, value in names.items():
        if phase := phase_of(name):
            verdicts[phase] = verdicts.get(phase, False) or value is True
    return verdicts


#: From the most trusted on. That a section is there proves no more than that its phase began, and the
#: status in a section proves nothing: it is that of the moment it was saved.
_WITNESSES: Final[dict[str, Callable[[ChildFlow], Verdicts]]] = {
    "columns": _by_columns,
    "phases_completed": _by_list,
    "phase_completion": _by_newest_map,
    "current_phase": _by_current_phase,
    "progress_percentage": _by_progress,
}
