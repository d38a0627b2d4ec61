"""Phases as bars on a line of time, put together from transitions that may have gaps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from masterflow.domain.clock import from_microseconds, parse_time
from masterflow.domain.json_shapes import as_list, as_map, number_of
from masterflow.status.entry_texts import entry_text

# Entries from before are in their place only: a backfill puts what has no time to the beginning of 1970.
_FIRST_TIME: Final = from_microseconds(365 * 86_400 * 1_000_000)
_YEAR_MS: Final = 86_400_000 * 365
_PHASE_CHARS: Final = 100
_STATUS_CHARS: Final = 40

#: How an attempt ends that is timed.
_TIMED: Final = frozenset({"completed", "failed"})

_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_STARTS: Final = frozenset({"processing", "active"})
_PAUSES: Final = frozenset({"paused"})
#: What an attempt is called whose own end has not been read yet.
_OPEN: Final = frozenset({"processing", "paused", "waiting_for_approval", "unfinished"})


@dataclass(slots=True)
class Wait:
    """A time in which a phase waited for a human."""

    started_at: datetime
    ended_at: datetime | None = None
    for_approval: bool = False


@dataclass(slots=True)
class Bar:
    """One attempt of a phase; without an end it still runs."""

    phase: str
    attempt: int
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    execution_time_ms: float | None = None
    message: str = ""
    waits: list[Wait] = field(default_factory=list)

    def wait(self, at: datetime, *, for_approval: bool) -> None:
        """Begin to wait."""
        self.go_on(at)
        self.status = "waiting_for_approval" if for_approval else "paused"
        self.waits.append(Wait(at, for_approval=for_approval))

    def go_on(self, at: datetime) -> None:
        """Stop waiting."""
        self.status = "processing"
        if self.waits and self.waits[-1].ended_at is None:
            self.waits[-1].ended_at = at

    def end(self, at: datetime, status: str) -> None:
        """Be over."""
        self.go_on(at)
        self.status, self.ended_at = status, at


def phase_states(phases: object, statuses: object) -> dict[str, str]:
    """Return each phase's newest status from those of the transitions, in order of appearance."""
    pairs = zip(as_list(phases), as_list(statuses), strict=False)
    return {
        entry_text(phase)[:_PHASE_CHARS]: entry_text(status)[:_STATUS_CHARS]
        for phase, status in pairs
        if phase is not None and status is not None
    }


def is_over(status: str) -> bool:
    """Return whether a flow in this status has ended."""
    return status in _ENDED


def bars_of(
    transitions: object, *, is_over: bool, over_at: datetime | None = None, times: object = None
) -> list[Bar]:
    """Return the attempts of all phases in the order they started.

    `is_over` tells that the flow has ended, at `over_at`: what is still open then has ended too. `times`
    are the row's own. They know of attempts whose transitions are not kept any more: a phase without any
    has one bar for its newest attempt, and the numbers of the others begin after those that are gone.
    """
    bars: list[Bar] = []
    open_bars: dict[str, Bar] = {}
    for at, entry in sorted(_dated(transitions), key=lambda pair: pair[0]):
        _take(bars, open_bars, at, entry)
    for bar in open_bars.values() if is_over else ():
        bar.end(max(over_at or bar.started_at, bar.started_at), "unfinished")
    timed = as_map(times)
    _number(bars, timed)
    phases = {bar.phase for bar in bars}
    bars += filter(None, (_timed_bar(phase, as_map(timed[phase])) for phase in timed.keys() - phases))
    return sorted(bars, key=lambda bar: bar.started_at)


def timed_attempts(time: object) -> int:
    """Return how many attempts a phase's time knows of: none of a backfilled one, 1 where nobody counted."""
    found = as_map(time)
    counted = number_of(found.get("attempts"))
    return max(0, int(counted)) if counted is not None else int(bool(found))


def _number(bars: Iterable[Bar], times: Mapping[str, Any]) -> None:
    """Let the numbers of attempts begin after those that are known only from the times."""
    by_phase: dict[str, list[Bar]] = {}
    for bar in bars:
        by_phase.setdefault(bar.phase, []).append(bar)
    for phase, seen in by_phase.items():
        untimed = sum(bar.status not in _TIMED for bar in seen)
        gone = max(0, timed_attempts(times.get(phase)) + untimed - len(seen))
        for bar in seen:
            bar.attempt += gone


def _timed_bar(phase: str, time: Mapping[str, Any]) -> Bar | None:
    ended_at = parse_time(time.get("completed_at") or time.get("recorded_at"))
    if ended_at is None or ended_at < _FIRST_TIME:
        return None
    begun = _before(ended_at, number_of(time.get("execution_time_ms")) or 0.0)
    attempt = max(1, timed_attempts(time))
    return Bar(phase, attempt, "completed", begun, ended_at, _milliseconds(time))


def dated_entries(entries: object) -> list[dict[str, Any]]:
    """Return the objects of a list column, whatever it holds; `timestamp` is null where it is unknown."""
    held = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [_with_its_time(entry) if is_placed(entry) else entry for entry in held]


def newest_first(entries: object) -> list[dict[str, Any]]:
    """Return the entries of a list column, newest first."""
    return dated_entries(entries)[::-1]


def is_placed(entry: Mapping[str, Any]) -> bool:
    """Return whether the timestamp of an entry is its place in the list only, and no time."""
    if is_backfilled(entry):
        return True
    at = parse_time(entry.get("timestamp"))
    return at is not None and at < _FIRST_TIME


def is_backfilled(entry: Mapping[str, Any]) -> bool:
    """Return whether a backfill made an entry, out of what a child row proves."""
    return any(as_map(entry.get(name)).get("source") == "backfill" for name in ("metadata", "details"))


def _with_its_time(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with the time that is known of it: its timestamp is only its place in the list."""
    told = [as_map(entry.get(name)).get("time") for name in ("metadata", "details")]
    times = ((time, parse_time(time)) for time in told)
    known = next((time for time, at in times if at is not None and at >= _FIRST_TIME), None)
    return entry | {"timestamp": known}


def _dated(transitions: object) -> Iterable[tuple[datetime, Mapping[str, Any]]]:
    for entry in dated_entries(transitions):
        # What a backfill has found is no attempt that anybody saw.
        if not is_placed(entry) and (at := parse_time(entry.get("timestamp"))):
            yield at, entry


def _take(bars: list[Bar], open_bars: dict[str, Bar], at: datetime, entry: Mapping[str, Any]) -> None:
    phase = entry_text(entry.get("phase"))[:_PHASE_CHARS]
    status = entry_text(entry.get("status"))[:_STATUS_CHARS]
    raw = entry.get("metadata")
    facts: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
    began = _started_at(at, status, facts)
    is_end = status not in _STARTS and status not in _PAUSES
    bar = _ending(bars, phase, began) if is_end else open_bars.get(phase)
    if status in _STARTS and bar is not None and (bar.waits or facts.get("is_resumed")):
        bar.go_on(at)
        return
    if status in _STARTS or bar is None:
        if bar is not None:
            bar.end(at, "unfinished")
        bar = Bar(phase, _attempts(bars, phase) + 1, "processing", began)
        bars.append(bar)
        open_bars[phase] = bar
    if message := facts.get("message"):
        bar.message = entry_text(message)
    if status in _PAUSES:
        bar.wait(at, for_approval=bool(facts.get("awaiting_approval")))
    elif is_end:
        bar.end(at, status)
        bar.execution_time_ms = _milliseconds(facts)
        if open_bars.get(phase) is bar:
            del open_bars[phase]


def _ending(bars: Iterable[Bar], phase: str, began: datetime) -> Bar | None:
    """Return the attempt that an end is of: where several ran at once, the one that began when it says."""
    still_open = (bar for bar in bars if bar.phase == phase and bar.status in _OPEN)
    return min(still_open, key=lambda bar: abs(bar.started_at - began), default=None)


def _attempts(bars: Iterable[Bar], phase: str) -> int:
    return sum(bar.phase == phase for bar in bars)


def _started_at(at: datetime, status: str, facts: Mapping[str, Any]) -> datetime:
    """Return when an attempt began whose start nobody told: so long before its end as it took."""
    elapsed_ms = _milliseconds(facts)
    if status in _STARTS or status in _PAUSES or elapsed_ms is None:
        return at
    return _before(at, elapsed_ms)


def _before(at: datetime, elapsed_ms: float) -> datetime:
    return max(at - timedelta(milliseconds=min(max(elapsed_ms, 0.0), _YEAR_MS)), _FIRST_TIME)


def _milliseconds(facts: Mapping[str, Any]) -> float | None:
    value = number_of(facts.get("execution_time_ms"))
    return value if value is not None and value >= 0 else None
