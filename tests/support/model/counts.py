"""Counts: each process's highest number; without numbers, each event once. docs/adr/0001 says the rest."""

from decimal import Decimal
from typing import Any

from masterflow.domain.events import CountedEvent, FlowRetried
from masterflow.repository.merge.deltas import marks_of

_MOST_COUNTERS = 32
_MOST_MARKS = 256
_MARK_END = 12

Number = int | Decimal


class Marks:
    """The newest events without a number: a repetition of one of them is known."""

    def __init__(self, marks: list[str]) -> None:
        self.marks = list(marks)

    def take(self, event: CountedEvent) -> bool:
        """Return whether this event is new."""
        mark, former = marks_of(event)
        ends = {known[-_MARK_END:] for known in self.marks}
        if mark[-_MARK_END:] in ends or any(known.endswith(former) for known in self.marks):
            return False
        self.marks.append(mark)
        return True

    def bounded(self) -> list[str]:
        return sorted(self.marks)[-_MOST_MARKS:]


class Count:
    """How often something happened: what stood there, and the highest number of each of 32 counters."""

    def __init__(self, shown: Number, kept: dict[str, Any] | None) -> None:
        kept = kept or {}
        self._shown = shown
        self._base: Number = kept.get("base", shown)
        self._highest: dict[str, Number] = dict(kept.get("by", {}))
        self._from: dict[str, Number] = dict(kept.get("from", {}))
        self._added = 0

    def add(self, event: CountedEvent, marks: Marks, *, since: str) -> None:
        """Count an event unless it is known."""
        if event.stamp[:16] <= since:
            return
        if event.counted is None:
            self._added += marks.take(event)
            return
        by, number = event.counted.by, event.counted.number
        self._highest[by] = max(number, self._highest.get(by, 0))
        if since:
            self._from[by] = min(number - 1, self._from.get(by, number))

    def bound(self) -> None:
        """Keep the counters with the highest numbers; ties end at the name."""
        ranked = sorted(self._highest, key=lambda by: (-self._highest[by], by))[:_MOST_COUNTERS]
        self._highest = {by: self._highest[by] for by in ranked}
        self._from = {by: lower for by, lower in self._from.items() if by in self._highest}

    @property
    def total(self) -> Number:
        """Return what the row shows; a column that shows more than we know of keeps it."""
        numbered = sum(self._highest.values()) - sum(self._from.values())
        return max(self._shown, self._base + numbered) + self._added

    def kept(self) -> dict[str, Any] | None:
        """Return what the bookkeeping says of it."""
        if not self._highest:
            return None
        kept: dict[str, Any] = {"base": self._base + self._added, "by": self._highest}
        if self._from:
            kept["from"] = self._from
        return kept | ({"at_least": True} if len(self._highest) >= _MOST_COUNTERS else {})


def window_of(event: CountedEvent) -> str:
    return "retries" if isinstance(event, FlowRetried) else "timings"
