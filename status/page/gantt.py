"""Where bars, waits and errors stand on the line of time, in percent of its width."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from masterflow.domain.clock import parse_time
from masterflow.status.durations import lasting
from masterflow.status.flow.usual import worked_ms
from masterflow.status.page.words import moment, plain
from masterflow.status.views import BarView, PhaseView

_LEAST_WIDTH: Final = 0.7
_MOST_TICKS: Final = 6
_STEPS_S: Final = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800,
    3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 31_536_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the line, with what to say about it."""

    x: float
    width: float
    kind: str
    title: str
    #: It goes on, so that it grows.
    is_running: bool = False


@dataclass(slots=True)
class Row:
    """One phase and what it did."""

    phase: str
    status: str
    worked: str
    attempts: int
    #: Since when it would have worked for so long without a break; None while it does not work.
    works_since: datetime | None = None
    bars: list[Span] = field(default_factory=list)
    waits: list[Span] = field(default_factory=list)
    errors: list[Span] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Gantt:
    """All rows, and their common axis, which begins nowhere without a bar."""

    rows: list[Row]
    ticks: list[Tick]
    started_at: datetime | None = None
    lasts: str = ""
    #: Where the axis ends; past now where something runs, so that it can grow without moving the rest.
    ends_at: datetime | None = None
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class _Axis:
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return max((self.end - self.begin).total_seconds(), 0.001)

    def at(self, moment: datetime) -> float:
        share = (moment - self.begin).total_seconds() / self.seconds
        return round(min(1.0, max(0.0, share)) * 100, 3)

    def span(self, begin: datetime, end: datetime | None, now: datetime, *, kind: str, title: str) -> Span:
        x, until = self.at(begin), self.at(end or now)
        width = max(until - x, _LEAST_WIDTH)
        return Span(round(min(x, 100 - width), 3), round(width, 3), kind, title, is_running=end is None)

    def with_room(self) -> "_Axis":
        """Return an axis that goes on until its next tick."""
        step = self._step
        try:
            return _Axis(self.begin, self.begin + timedelta(seconds=step * (int(self.seconds / step) + 1)))
        except OverflowError:
            return self

    @property
    def _step(self) -> float:
        return next((step for step in _STEPS_S if self.seconds / step <= _MOST_TICKS), self.seconds)

    def ticks(self) -> list[Tick]:
        step = self._step
        count = int(self.seconds / step)
        return [
            Tick(round(number * step / self.seconds * 100, 3), _offset(number * step))
            for number in range(count + 1)
        ]


def gantt_of(
    bars: Sequence[BarView], errors: Iterable[Mapping[str, Any]], phases: Sequence[PhaseView]
) -> Gantt:
    """Return the chart of a flow, its rows in the order of its phases.

    A bar without an end lasts until now, and a phase may have no bar.
    """
    rows = {phase.phase: _row(phase) for phase in phases}
    if not bars:
        return Gantt(list(rows.values()), [])
    now = datetime.now(UTC)
    begin = min(bar.started_at for bar in bars)
    axis = _Axis(begin, max(begin, *(bar.ended_at or now for bar in bars)))
    lasts, is_running = lasting(axis.seconds * 1000), any(bar.ended_at is None for bar in bars)
    if is_running:
        axis = axis.with_room()
    for bar in bars:
        row = rows.setdefault(bar.phase, Row(bar.phase, bar.status, "-", 0))
        _draw(row, bar, axis, now=now)
    for phase in phases:
        shown = rows.get(phase.phase)
        # What runs again is shown as it goes, not as it went the last time.
        if shown and phase.execution_time_ms is not None and not any(bar.is_running for bar in shown.bars):
            shown.worked = lasting(phase.execution_time_ms)
    for error in errors:
        _mark(rows, error, axis)
    return Gantt(list(rows.values()), axis.ticks(), begin, lasts, ends_at=axis.end, is_running=is_running)


def _row(phase: PhaseView) -> Row:
    """Return a phase as it is while nobody knows when it ran."""
    worked = "time unknown" if phase.execution_time_ms is None else lasting(phase.execution_time_ms)
    return Row(phase.phase, phase.status or "unknown", worked, phase.attempts or 0)


def _draw(row: Row, bar: BarView, axis: _Axis, *, now: datetime) -> None:
    end = bar.ended_at or now
    took = lasting((end - bar.started_at).total_seconds() * 1000)
    row.status, row.attempts = bar.status, max(row.attempts, bar.attempt)
    took_ms = bar.execution_time_ms if bar.execution_time_ms is not None else worked_ms(bar, end)
    row.worked = lasting(took_ms)
    is_at_work = bar.ended_at is None and not any(wait.ended_at is None for wait in bar.waits)
    row.works_since = now - timedelta(milliseconds=took_ms) if is_at_work else None
    what = f"{plain(bar.phase)}, attempt {bar.attempt}: {plain(bar.status)}"
    title = f"{what}, from {moment(bar.started_at)}, {took}"
    row.bars.append(axis.span(bar.started_at, bar.ended_at, now, kind=bar.status, title=title))
    for wait in bar.waits:
        until = wait.ended_at or end
        reason = "approval" if wait.for_approval else "input"
        waited = lasting((until - wait.started_at).total_seconds() * 1000)
        row.waits.append(
            axis.span(
                wait.started_at,
                wait.ended_at or bar.ended_at,
                now,
                kind="wait",
                title=f"waited for {reason}, {waited}",
            )
        )


def _mark(rows: Mapping[str, Row], error: Mapping[str, Any], axis: _Axis) -> None:
    at = parse_time(error.get("timestamp"))
    row = rows.get(str(error.get("phase")))
    if at is not None and row is not None and axis.begin <= at <= axis.end:
        row.errors.append(
            Span(axis.at(at), 0, "error", f"error at {moment(at)}: {str(error.get('error'))[:200]}")
        )


def _offset(seconds: float) -> str:
    if seconds == 0:
        return "0"
    return (
        f"+{lasting(round(seconds * 1000, 3))}".replace(" min 0 s", " min")
        .replace(" h 0 min", " h")
        .replace(".0 s", " s")
    )
