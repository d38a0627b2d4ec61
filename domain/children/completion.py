"""Which phases a child row proves complete, and by what: the more trusted witness decides."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from masterflow.domain.children.child_flow import MAIN_PHASES, ChildFlow, decoded, phase_of
from masterflow.domain.children.specs import DISCOVERY, DISCOVERY_V3
from masterflow.domain.clock import parse_time
from masterflow.domain.json_shapes import as_list, as_map, number_of
from masterflow.domain.phases import PHASES
from masterflow.domain.statuses import flow_status_or_none

#: What a witness says: a phase is complete, or it is not; of others it says nothing.
Verdicts = dict[str, bool]

# A progress that proves a phase complete on each of the scales in use: sixths, the fifths of the newest
# version, and a tracker's, where a phase begins at its number. The phases that the newest version leaves
# alone are proven by none.
_PROVEN_AT: Final = {
    phase: max(spec.proven_at(phase) for spec in (DISCOVERY, DISCOVERY_V3))
    for phase in DISCOVERY.phases
    if phase in DISCOVERY_V3.phases
}

_ROUNDING: Final = 0.05
_MOST_PERCENT: Final = 100.0
_MOST_NAMED: Final = 10

# Under which keys an object says that its phase is complete, and in which words.
_STATES: Final = ("completed", "is_completed", "status", "state", "completed_at")
_YES: Final = frozenset({"true", "yes", "1", "complete", "completed", "done", "finished", "success"})
_NO: Final = frozenset(
    {"false", "no", "0", "pending", "failed", "running", "processing", "in_progress", "active", "not_started"}
)
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


def contradictions(child: ChildFlow) -> dict[str, str]:
    """Return, by phase, what in the child row denies what a more trusted part of it says."""
    found: dict[str, str] = {}
    said: dict[str, tuple[str, bool]] = {}
    for evidence, witness in _STATING.items():
        for phase, is_complete in witness(child).items():
            first, verdict = said.setdefault(phase, (evidence, is_complete))
            if verdict is not is_complete:
                words = f"{_in_words(first, verdict)}, {_in_words(evidence, is_complete)}"
                found.setdefault(phase, words)
    present = {section.phase for section in child.sections}
    for phase, (first, verdict) in said.items():
        if verdict and present and phase in MAIN_PHASES and phase not in present:
            found.setdefault(phase, f"{_in_words(first, verdict)}, the document has no section of it")
    return found


def unread(child: ChildFlow) -> dict[str, str]:
    """Return, by the place in the child row, why something there is not taken as proof."""
    found = {}
    if child.document is not None and not isinstance(decoded(child.document), dict):
        found["crewai_state_data"] = "is no object"
    if names := [name for name, verdict in _listed(child) if verdict is None or phase_of(name) is None]:
        found["phases_completed"] = f"not understood: {', '.join(map(str, names[:_MOST_NAMED]))!s:.300}"
    if child.current_phase and named_phase(child) is None:
        found["current_phase"] = f"{child.current_phase!s:.80} is no phase"
    if (scale := _progress(child)) is not None and scale[1] is None:
        found["progress_percentage"] = f"{scale[0]:g} may be a fraction or a percentage"
    return found


def percentage(child: ChildFlow) -> float | None:
    """Return the progress as 0 to 100; None where no number is, or nothing tells on which scale it is."""
    found = _progress(child)
    return None if found is None else found[1]


def _progress(child: ChildFlow) -> tuple[float, float | None] | None:
    """Return the number that counts with the percentage it stands for; None if there is no number."""
    places = (child.progress, *(child.root.get(name) for name in ("progress_percentage", "progress")))
    numbers = [number for value in places if (number := number_of(value)) is not None]
    read = [(number, _percent(child, number)) for number in numbers if 0 <= number <= _MOST_PERCENT]
    # A zero stands in a column that nobody kept as well as in one that is true.
    known = [pair for pair in read if pair[1]] or [pair for pair in read if pair[1] is None] or read
    return known[0] if known else None


def _percent(child: ChildFlow, number: float) -> float | None:
    if number == 0 or number > 1:
        return round(min(number, 100.0), 2)
    # No scale in percent stands at one where a phase is complete; a finished flow stands at all of it.
    is_fraction = _has_complete_phase(child) or (number == 1 and child.completed_at is not None)
    return round(100 * number, 2) if is_fraction else None


def _has_complete_phase(child: ChildFlow) -> bool:
    return any(verdict for witness in _STATING.values() for verdict in witness(child).values())


def named_phase(child: ChildFlow) -> tuple[str, str] | None:
    """Return the current phase that the row, or else its document, names, and where it does."""
    places = (
        (child.current_phase, "current_phase"),
        (
            child.root.get("current_phase"),
            "crewai_state_data.current_phase",
        ),
    )
    for value, place in places:
        # A step of a phase is named after a dot.
        name = value.partition(".")[0] if isinstance(value, str) else value
        if phase := phase_of(name):
            return phase, place
    return None


def _in_words(evidence: str, is_complete: bool) -> str:  # noqa: FBT001  private
    return f"{evidence} says {'complete' if is_complete else 'not complete'}"


def _phase_of_column(column: str) -> str | None:
    return phase_of(column.removesuffix("_completed"))


def _by_columns(child: ChildFlow) -> Verdicts:
    # They are false by default: where none is true, nobody kept them, and they deny nothing.
    if not any(child.completed.values()):
        return {}
    verdicts = {_phase_of_column(column): value is True for column, value in child.completed.items()}
    return {phase: value for phase, value in verdicts.items() if phase}


def _by_list(child: ChildFlow) -> Verdicts:
    return _verdicts(_listed(child))


def _listed(child: ChildFlow) -> list[tuple[Any, bool | None]]:
    """Return each name in `phases_completed`, whatever shape that has, with what it says of it."""
    names = decoded(child.phases_completed)
    if isinstance(names, str):
        names = [name for name in names.split(",") if name.strip()]
    if isinstance(names, dict):
        return [(name, verdict_of(value)) for name, value in names.items()]
    return [_item(item) for item in as_list(names)]


def _item(item: object) -> tuple[Any, bool | None]:
    if not isinstance(item, dict):
        return item, True
    name = next((item[key] for key in ("phase", "phase_name", "name") if key in item), None)
    return name, verdict_of(item) if item.keys() & _STATES else True


def verdict_of(value: object) -> bool | None:
    """Return whether a value says that its phase is complete; None if it says neither."""
    match value:
        case bool():
            return value
        case 0 | 1:
            return value == 1
        case str():
            word = value.strip().lower()
            is_yes = word in _YES or parse_time(value) is not None
            return True if is_yes else False if word in _NO else None
        case dict():
            said = [verdict_of(value[key]) for key in _STATES if value.get(key) is not None]
            return next((verdict for verdict in said if verdict is not None), None)
    return None


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
            done = as_map(decoded(holder.get("phase_completion")))
            yield at, _verdicts((name, verdict_of(value)) for name, value in done.items())


def _by_current_phase(child: ChildFlow) -> Verdicts:
    """Return that phases after the current one are not complete, and those are which none can leave out."""
    named = named_phase(child)
    if named is None:
        return {}
    place = PHASES.index(named[0])
    later = {phase: False for phase in MAIN_PHASES if PHASES.index(phase) > place}
    return later | {phase: True for phase in DISCOVERY.required if PHASES.index(phase) < place}


def _by_progress(child: ChildFlow) -> Verdicts:
    percent = percentage(child) or 0.0
    if percent + _ROUNDING >= _MOST_PERCENT and flow_status_or_none(child.status) == "completed":
        # A monitor of the application writes both of them, whatever the flow did.
        return {}
    return {phase: True for phase, least in _PROVEN_AT.items() if percent + _ROUNDING >= least}


def _verdicts(said: Iterable[tuple[Any, bool | None]]) -> Verdicts:
    """Return verdicts by canonical phases; of two names for one phase, the one that is true counts."""
    verdicts: Verdicts = {}
    for name, verdict in said:
        if verdict is not None and (phase := phase_of(name)):
            verdicts[phase] = verdicts.get(phase, False) or verdict
    return verdicts


#: What was said of each phase by name, from the most trusted on.
_STATING: Final[dict[str, Callable[[ChildFlow], Verdicts]]] = {
    "columns": _by_columns,
    "phases_completed": _by_list,
    "phase_completion": _by_newest_map,
}

#: All, from the most trusted on. That a section is there proves no more than that its phase began, and the
#: status in a section proves nothing: it is that of the moment it was saved.
_WITNESSES: Final[dict[str, Callable[[ChildFlow], Verdicts]]] = {
    **_STATING,
    "current_phase": _by_current_phase,
    "progress_percentage": _by_progress,
}
