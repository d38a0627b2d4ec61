"""Which phases a child row proves complete, and by what: the more trusted witness decides."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from masterflow.domain.children.child_flow import ChildFlow, decoded
from masterflow.domain.clock import parse_time
from masterflow.domain.flow_types.progress import proven_at, share_complete
from masterflow.domain.json_shapes import as_list, as_map, number_of
from masterflow.domain.payload.safe import safe_text
from masterflow.domain.statuses import FINAL_STATUSES, flow_status_or_none

#: What a witness says: a phase is complete, or it is not; of others it says nothing.
Verdicts = dict[str, bool]

_ROUNDING: Final = 0.05
_MOST_PERCENT: Final = 100.0
_MOST_NAMED: Final = 10
_MOST_CHARS: Final = 320

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
    columns = {phase: column for column, phase in child.table.proves.items()}
    return {
        phase: columns[phase] if proofs[phase] == "columns" else proofs[phase]
        for phase in child.spec.order
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
    for phase in child.spec.child_courses[0]:
        first, verdict = said.get(phase, ("", False))
        if verdict and present and phase not in present:
            found.setdefault(phase, f"{_in_words(first, verdict)}, the document has no section of it")
    return found


def unread(child: ChildFlow) -> dict[str, str]:
    """Return, by the place in the child row, why something there is not taken as proof."""
    found = {}
    if child.document is not None and not isinstance(decoded(child.document), dict):
        found[child.table.document] = "is no object"
    for column, value in child.completed.items():
        if value is not None and verdict_of(value) is None:
            found[column] = f"{value!s:.80} says neither that it is complete nor that it is not"
    names = [name for name, verdict in _listed(child) if verdict is None or child.spec.phase(name) is None]
    if names:
        found[child.table.phases_completed] = (
            f"not understood: {', '.join(map(str, names[:_MOST_NAMED])):.300}"
        )
    if child.current_phase and named_phase(child) is None and not _is_over(child.current_phase):
        found[child.table.current_phase] = f"{child.current_phase!s:.80} is no phase"
    if (scale := _progress(child)) is not None and scale[1] is None:
        found[child.table.progress] = f"{scale[0]:g} may be a fraction or a percentage"
    return {place: safe_text(why, max_chars=_MOST_CHARS) for place, why in found.items()}


def _is_over(word: object) -> bool:
    return isinstance(word, str) and flow_status_or_none(word) in FINAL_STATUSES


def percentage(child: ChildFlow) -> tuple[float, str] | None:
    """Return the progress as 0 to 100 with what proves it.

    It is None where no number is and the columns tell none, or nothing tells on which scale a number is.
    """
    found = _progress(child)
    if found is not None:
        return None if found[1] is None else (found[1], child.table.progress or "progress_percentage")
    verdicts = column_verdicts(child)
    share = share_complete(child.spec, [phase for phase, done in verdicts.items() if done])
    return None if not verdicts or share is None else (share, "columns")


def percent(child: ChildFlow) -> float:
    """Return the progress as 0 to 100, and 0 where it is not known."""
    found = percentage(child)
    return found[0] if found else 0.0


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
        (child.current_phase, child.table.current_phase),
        (child.root.get("current_phase"), f"{child.table.document}.current_phase"),
    )
    for value, place in places:
        # A step of a phase is named after a dot.
        name = value.partition(".")[0] if isinstance(value, str) else value
        if phase := child.spec.phase(name):
            return phase, place
    return None


def _in_words(evidence: str, is_complete: bool) -> str:  # noqa: FBT001  private
    return f"{evidence} says {'complete' if is_complete else 'not complete'}"


def column_verdicts(child: ChildFlow) -> Verdicts:
    """Return what the columns say of their phases."""
    said = {phase: verdict_of(child.completed.get(column)) for column, phase in child.table.proves.items()}
    # By default they say no: where none says yes, nobody kept them, and they deny nothing.
    if not any(said.values()):
        return {}
    return {phase: verdict for phase, verdict in said.items() if verdict is not None}


def _by_list(child: ChildFlow) -> Verdicts:
    return _verdicts(child, _listed(child))


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
    # Phases only become complete: of maps of one time the one that says so of more is newer, and else the one
    # in the section of the later phase.
    newest, rank = Verdicts(), (_LONG_AGO, 0)
    for at, verdicts in _completion_maps(child):
        if verdicts and (at, sum(verdicts.values())) >= rank:
            newest, rank = verdicts, (at, sum(verdicts.values()))
    return newest


def _completion_maps(child: ChildFlow) -> Iterator[tuple[datetime, Verdicts]]:
    """Yield each map with its time; one without is as new as any in the sections before it."""
    latest = _LONG_AGO
    for holder in (child.root, *(part for section in child.sections for part in section[2:])):
        if holder:
            at = parse_time(holder.get("updated_at")) or parse_time(holder.get("timestamp")) or latest
            latest = max(latest, at)
            done = as_map(decoded(holder.get("phase_completion")))
            yield at, _verdicts(child, ((name, verdict_of(value)) for name, value in done.items()))


def _by_results(child: ChildFlow) -> Verdicts:
    """Return what sections say of their phases that their writer ended: else a status is that of a moment."""
    end = child.table.section_end
    ended = [section for section in child.sections if end and section.content.get(end)]
    said = (
        (part.name, verdict_of(part.content) if part.content.keys() & _STATES else True) for part in ended
    )
    return _verdicts(child, said)


def _by_current_phase(child: ChildFlow) -> Verdicts:
    """Return that phases after the current one are not complete, and those are which none can leave out."""
    named = named_phase(child)
    if named is None:
        return {}
    spec = child.spec
    place = spec.place(named[0])
    later = {phase: False for phase in spec.order if spec.place(phase) > place}
    return later | {phase: True for phase in spec.required if spec.place(phase) < place}


def _by_progress(child: ChildFlow) -> Verdicts:
    reached = percent(child) + _ROUNDING
    if reached >= _MOST_PERCENT and flow_status_or_none(child.status) == "completed":
        # A monitor of the application writes both of them, whatever the flow did.
        return {}
    # It tells how many phases are complete; which ones, only where none of them can be left out.
    proofs = {phase: proven_at(child.spec, phase) for phase in child.spec.required}
    return {phase: True for phase, least in proofs.items() if least is not None and reached >= least}


def _verdicts(child: ChildFlow, said: Iterable[tuple[Any, bool | None]]) -> Verdicts:
    """Return verdicts by phases; of two names for one phase, the one that is true counts."""
    verdicts: Verdicts = {}
    for name, verdict in said:
        if verdict is not None and (phase := child.spec.phase(name)):
            verdicts[phase] = verdicts.get(phase, False) or verdict
    return verdicts


#: What was said of each phase by name, from the most trusted on.
_STATING: Final[dict[str, Callable[[ChildFlow], Verdicts]]] = {
    "columns": column_verdicts,
    "phases_completed": _by_list,
    "phase_completion": _by_newest_map,
    "results": _by_results,
}

#: All, from the most trusted on. That a section is there proves no more than that its phase began, and the
#: status in a section proves nothing: it is that of the moment it was saved.
_WITNESSES: Final[dict[str, Callable[[ChildFlow], Verdicts]]] = {
    **_STATING,
    "current_phase": _by_current_phase,
    "progress_percentage": _by_progress,
}
