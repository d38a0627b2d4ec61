"""What a child row proves of its flow: no more than it holds, and nothing of its heavy data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from masterflow.domain.children.child_flow import (
    ChildFlow,
    JsonMap,
    phase_of,
)
from masterflow.domain.children.completion import (
    completed_phases,
    contradictions,
    named_phase,
    percentage,
    unread,
)
from masterflow.domain.children.specs import DISCOVERY, DISCOVERY_V3
from masterflow.domain.clock import parse_time
from masterflow.domain.json_shapes import as_list, as_map, count_of
from masterflow.domain.payload.safe import safe_text
from masterflow.domain.phases import PHASES
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
    """All that is proven; phases are canonical and in canonical order, evidence names what it rests on."""

    version: str
    as_of: datetime
    completed: dict[str, str]
    #: Phase and evidence.
    current: tuple[str, str] | None
    failed: tuple[str, str] | None
    is_finished: bool
    percentage: float | None
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
    def is_empty(self) -> bool:
        """Return whether nothing about the flow is proven."""
        has_phases = self.completed or self.current or self.failed
        is_plain = self.status in {None, "initialized", "active", "processing"}
        is_odd = self.unread.keys() - {"crewai_state_data"}
        return is_plain and not (has_phases or self.percentage or self.errors or self.is_finished or is_odd)


def weigh(child: ChildFlow) -> Evidence:
    """Return what a child row proves; whatever it holds, this raises nothing."""
    completed = completed_phases(child)
    status = flow_status_or_none(child.status)
    return Evidence(
        version=child.version,
        as_of=child.updated_at,
        completed=completed,
        current=_current(child, completed),
        failed=_failed(child, completed),
        is_finished=_is_finished(child, status),
        percentage=percentage(child),
        counts=_counts(child),
        status=status,
        errors=_errors(child),
        times=tuple(_times(child)),
        word=safe_text(child.status, max_chars=_MAX_WORD_CHARS),
        contradictions=contradictions(child),
        unread=unread(child),
    )


def _is_finished(child: ChildFlow, status: str | None) -> bool:
    """Return whether the flow reached its end: its columns say so, or a status and its time.

    Of the newest version five columns do, if the status or the progress agrees: an older one goes on.
    """
    if status == "completed" and child.completed_at is not None:
        return True
    if all(child.completed.get(column) for column in DISCOVERY.columns):
        return True
    is_told = status == "completed" or (percentage(child) or 0.0) >= _ALL
    return is_told and all(child.completed.get(column) for column in DISCOVERY_V3.columns)


def _current(child: ChildFlow, completed: dict[str, str]) -> tuple[str, str] | None:
    if named := named_phase(child):
        return named
    failed = _failed(child, completed)
    begun = dict([failed]) if failed else {}
    begun |= {part.phase: f"crewai_state_data.{part.name}" for part in child.sections} | completed
    last = max(begun, key=PHASES.index, default=None)
    return None if last is None else (last, begun[last])


def _failed(child: ChildFlow, completed: dict[str, str]) -> tuple[str, str] | None:
    phase = phase_of(child.error.get("phase"))
    return (phase, "error_phase") if phase and phase not in completed else None


def _counts(child: ChildFlow) -> dict[str, int]:
    imports = [part for part in child.sections if part.phase == "data_import"]
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
    yield from _error(child, {**as_map(child.error.get("details")), **column}, None, "error_message")
    for item in as_list(child.root.get("errors")):
        yield from _error(child, item, None, "crewai_state_data.errors")
    for part in child.sections:
        for holder, path in ((part.content, part.name), (part.legacy, f"{part.name}.legacy_data")):
            for item in as_list(holder.get("errors")):
                yield from _error(child, item, part.phase, f"crewai_state_data.{path}.errors")


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
        phase=phase_of(held.get("phase")) or phase or _NO_PHASE,
        text=safe_text(text, max_chars=_MAX_ERROR_CHARS),
        # What claims to be later than the row it stands in was written by a clock that is off.
        at=at if at and at <= child.updated_at else None,
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
                evidence = f"crewai_state_data.{path}.started_at..{ended[1]}"
                found.setdefault(part.phase, FoundTime(part.phase, started_at, ended[0], evidence))
    starts = [time.started_at for time in found.values()]
    # A start that several sections share is that of the flow, and tells no phase's time.
    yield from (time for time in found.values() if starts.count(time.started_at) == 1)


def _end(holder: JsonMap, names: Sequence[str]) -> tuple[datetime, str] | None:
    for name in names:
        if at := parse_time(holder.get(name)):
            return at, name
    return None
