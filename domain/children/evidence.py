"""What a child row proves of its flow: no more than it holds, and nothing of its heavy data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from masterflow.domain.children.child_flow import ChildFlow, JsonMap
from masterflow.domain.children.completion import (
    completed_phases,
    contradictions,
    named_phase,
    percent,
    percentage,
    unread,
    verdict_of,
)
from masterflow.domain.clock import parse_time
from masterflow.domain.flow_types.specification import FlowSpec, Phases
from masterflow.domain.json_shapes import as_list, as_map, count_of
from masterflow.domain.payload.safe import safe_text
from masterflow.domain.statuses import flow_status_or_none

_MAX_ERRORS: Final = 20
_MAX_ERROR_CHARS: Final = 500
_MAX_DETAIL_CHARS: Final = 200
_MAX_WORD_CHARS: Final = 40

_ALL: Final = 100.0

#: The phase of an error that belongs to none.
_NO_PHASE: Final = "flow"

_COUNTS: Final = ("records_total", "records_processed", "records_valid", "records_failed")
#: Keys whose value, a number or a list, only counts.
COUNTED_NAMES: Final = (*_COUNTS, "raw_data", "agent_insights")

_DETAILS: Final = ("error_code", "error_type", "exception_type", "is_retryable")
_TEXTS: Final = ("error", "message", "error_message")
_ENDS: Final = ("completed_at", "ended_at", "finished_at")


@dataclass(frozen=True, slots=True)
class FoundError:
    """An error that the child row holds; `at` is None where it does not say when."""

    phase: str
    text: str
    at: datetime | None
    details: dict[str, Any]
    evidence: str


@dataclass(frozen=True, slots=True)
class FoundTime:
    """How long a phase took, from a start and an end that the child row holds."""

    phase: str
    started_at: datetime
    ended_at: datetime
    evidence: str

    @property
    def milliseconds(self) -> float:
        """Return the time between the two."""
        return (self.ended_at - self.started_at).total_seconds() * 1000


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is proven; phases are in the order of their type, evidence names what it rests on."""

    spec: FlowSpec
    version: str
    as_of: datetime | None
    completed: dict[str, str]
    #: Phase and evidence.
    current: tuple[str, str] | None
    failed: tuple[str, str] | None
    is_finished: bool
    #: 0 to 100, and evidence.
    progress: tuple[float, str] | None
    counts: dict[str, int]
    status: str | None
    errors: tuple[FoundError, ...]
    times: tuple[FoundTime, ...]

    #: The child's own word for its status.
    word: str = ""
    #: By phase, where parts of the child row deny each other; by place, what could not be read.
    contradictions: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def percentage(self) -> float | None:
        """Return the progress as 0 to 100, or None if it is not known."""
        return self.progress[0] if self.progress else None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing about the flow is proven."""
        has_phases = self.completed or self.current or self.failed
        is_plain = self.status in {None, "initialized", "active", "processing"}
        is_odd = self.unread.keys() - {self.spec.child.document if self.spec.child else ""}
        return is_plain and not (has_phases or self.percentage or self.errors or self.is_finished or is_odd)


def weigh(child: ChildFlow) -> Evidence:
    """Return what a child row proves; whatever it holds, this raises nothing."""
    completed = completed_phases(child)
    status = flow_status_or_none(child.status)
    return Evidence(
        spec=child.spec,
        version=child.version,
        as_of=child.updated_at,
        completed=completed,
        current=_current(child, completed),
        failed=_failed(child, completed),
        is_finished=_is_finished(child, status),
        progress=percentage(child),
        counts=_counts(child),
        status=status,
        errors=_errors(child),
        times=tuple(_times(child)),
        word=safe_text(child.status, max_chars=_MAX_WORD_CHARS),
        contradictions=contradictions(child),
        unread=unread(child),
    )


def _is_finished(child: ChildFlow, status: str | None) -> bool:
    """Return whether the flow reached its end: a status with its time says so, or the columns of all phases.

    Where another version goes on after these, the status or the progress has to agree. Where a type has no
    columns of phases, a status with all of the progress says so, too.
    """
    is_agreed = not child.table.completed and percent(child) >= _ALL
    if status == "completed" and (child.completed_at is not None or is_agreed):
        return True
    is_told = status == "completed" or percent(child) >= _ALL
    courses = [course for course in child.spec.child_courses if _is_complete(child, course)]
    return any(is_told or _is_last(child.spec, course[-1]) for course in courses)


def _is_complete(child: ChildFlow, course: Phases) -> bool:
    columns = (child.table.completed.get(phase) for phase in course)
    return all(column and verdict_of(child.completed.get(column)) for column in columns)


def _is_last(spec: FlowSpec, phase: str) -> bool:
    return all(spec.place(course[-1]) <= spec.place(phase) for course in spec.child_courses)


def _current(child: ChildFlow, completed: dict[str, str]) -> tuple[str, str] | None:
    if named := named_phase(child):
        return named
    failed = _failed(child, completed)
    begun = dict([failed]) if failed else {}
    begun |= {part.phase: f"{child.table.document}.{part.name}" for part in child.sections} | completed
    last = max(begun, key=child.spec.place, default=None)
    return None if last is None else (last, begun[last])


def _failed(child: ChildFlow, completed: dict[str, str]) -> tuple[str, str] | None:
    phase = child.spec.phase(child.error.get("phase"))
    return (phase, "error_phase") if phase and phase not in completed else None


def _counts(child: ChildFlow) -> dict[str, int]:
    # What a flow works on is counted where it comes in.
    first = child.spec.child_courses[0][0]
    imports = [part for part in child.sections if part.phase == first]
    holders = (child.root, *(held for part in imports for held in (part.content, part.legacy)))
    counts = {name: next(filter(None, (count_of(held.get(name)) for held in holders)), 0) for name in _COUNTS}
    counts["raw_rows"] = next(filter(None, (count_of(held.get("raw_data")) for held in holders)), 0)
    counts["agent_insights"] = count_of(child.root.get("agent_insights"))
    return {name: count for name, count in counts.items() if count}


def _errors(child: ChildFlow) -> tuple[FoundError, ...]:
    """Return the newest errors, each once: the one in the columns, then those in the document."""
    found: dict[tuple[str, str], FoundError] = {}
    for error in _every_error(child):
        known = found.setdefault((error.phase, error.text), error)
        if known.at is None and error.at is not None:
            found[error.phase, error.text] = error
    newest = sorted(found.values(), key=lambda error: error.at.timestamp() if error.at else 0.0)
    return tuple(newest[-_MAX_ERRORS:])


def _every_error(child: ChildFlow) -> Iterator[FoundError]:
    column = {"error": child.error.get("message"), "phase": child.error.get("phase")}
    document = child.table.document
    yield from _error(
        child, {**as_map(child.error.get("details")), **column}, None, child.table.error_message
    )
    for item in as_list(child.root.get("errors")):
        yield from _error(child, item, None, f"{document}.errors")
    for part in child.sections:
        for holder, path in ((part.content, part.name), (part.legacy, f"{part.name}.legacy_data")):
            for item in as_list(holder.get("errors")):
                yield from _error(child, item, part.phase, f"{document}.{path}.errors")


def _error(child: ChildFlow, item: object, phase: str | None, evidence: str) -> Iterator[FoundError]:
    held: JsonMap = item if isinstance(item, dict) else {"error": item}
    text = next(
        (held[name] for name in _TEXTS if isinstance(held.get(name), str) and held[name].strip()), None
    )
    if text is None:
        return
    at = parse_time(held.get("timestamp"))
    details = {name: _detail(held[name]) for name in _DETAILS if isinstance(held.get(name), str | bool | int)}
    yield FoundError(
        phase=child.spec.phase(held.get("phase")) or phase or _NO_PHASE,
        text=safe_text(text, max_chars=_MAX_ERROR_CHARS),
        # What claims to be later than the row it stands in was written by a clock that is off.
        at=at if at and child.updated_at and at <= child.updated_at else None,
        details=details,
        evidence=evidence,
    )


def _detail(value: Any) -> Any:
    return safe_text(value, max_chars=_MAX_DETAIL_CHARS) if isinstance(value, str) else value


def _times(child: ChildFlow) -> Iterator[FoundTime]:
    """Yield the times of phases whose section has a start of its own, and an end after it."""
    found: dict[str, FoundTime] = {}
    for part in child.sections:
        for holder, path in ((part.content, part.name), (part.legacy, f"{part.name}.legacy_data")):
            started_at = parse_time(holder.get("started_at"))
            ended = _end(holder, _ENDS) if started_at else None
            if started_at and ended and ended[0] > started_at:
                evidence = f"{child.table.document}.{path}.started_at..{ended[1]}"
                found.setdefault(part.phase, FoundTime(part.phase, started_at, ended[0], evidence))
    starts = [time.started_at for time in found.values()]
    # A start that several sections share is that of the flow, and tells no phase's time.
    yield from (time for time in found.values() if starts.count(time.started_at) == 1)


def _end(holder: JsonMap, names: Sequence[str]) -> tuple[datetime, str] | None:
    for name in names:
        if at := parse_time(holder.get(name)):
            return at, name
    return None
