"""What the merge keeps beside the data, under `flow_metadata._enrichment`."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from masterflow.domain.clock import to_microseconds
from tests.support.model.jsonb import SQL_NULL, json_text

_LISTS = ("phase_transitions", "error_history", "agent_collaboration_log")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_clocks(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(clock, dict) and all(isinstance(stamp, str) for stamp in clock.values())
        for clock in value.values()
    )


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(count, dict) and _is_count(count) for count in value.values()
    )


def _is_count(count: dict[str, Any]) -> bool:
    maps = [count.get("by", {}), count.get("from", {})]
    return _is_number(count.get("base", 0)) and all(
        isinstance(numbers, dict) and all(map(_is_number, numbers.values())) for numbers in maps
    )


def _is_usage(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(count, dict) and _is_usage_count(count) for count in value.values()
    )


def _is_usage_count(count: dict[str, Any]) -> bool:
    maps = [count.get("by", {}), count.get("from", {})]
    if not all(isinstance(amounts, dict) for amounts in maps):
        return False
    amounts = [count.get("base", [0] * 5), *(each for found in maps for each in found.values())]
    return all(isinstance(each, list) and len(each) == 5 and all(map(_is_number, each)) for each in amounts)


def _is_status(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(fact, str) if name in ("failed", "reopened", "wrote") else _is_texts(fact)
        for name, fact in value.items()
    )


#: The form that each part must have; what has another one is set aside, and made anew.
_FORMS: dict[str, Callable[[Any], bool]] = {
    "clocks": _is_clocks,
    "counts": _is_counts,
    "usage": _is_usage,
    "status": _is_status,
    "retries": _is_texts,
    "timings": _is_texts,
    "sorted": lambda value: isinstance(value, list),
    "phase": lambda value: isinstance(value, str),
    "newest": lambda value: isinstance(value, str),
    "since": lambda value: isinstance(value, str),
    "displaced": lambda value: isinstance(value, dict),
}


class Bookkeeping:
    """What is known of a row, and what of it was set aside."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._displaced: dict[str, Any] = {}
        found = row["flow_metadata"]
        self.metadata: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
        if not isinstance(found, dict) and found is not None and found is not SQL_NULL:
            self.set_aside("flow_metadata", found)
        stored = self.metadata.pop("_enrichment", SQL_NULL)
        is_lost = not isinstance(stored, dict)
        if is_lost and stored is not SQL_NULL:
            self.set_aside("_enrichment", stored)
        self._kept: dict[str, Any] = self._sound({} if is_lost else stored)
        self.changed = f"{to_microseconds(row['updated_at']):016d}~"
        if "since" not in self._kept and is_lost and _shows_a_merge(row):
            self._kept["since"] = self.changed

    def _sound(self, stored: dict[str, Any]) -> dict[str, Any]:
        broken = {
            name: stored[name] for name, fits in _FORMS.items() if name in stored and not fits(stored[name])
        }
        if broken:
            self.set_aside("_enrichment", broken)
        return {name: part for name, part in stored.items() if name not in broken}

    def set_aside(self, column: str, value: Any) -> None:
        self._displaced[column] = value

    @property
    def since(self) -> str:
        """Return up to when everything counts as known, because the bookkeeping was lost."""
        return str(self._kept.get("since", ""))

    @property
    def phase(self) -> str:
        return str(self._kept.get("phase", ""))

    @phase.setter
    def phase(self, stamp: str) -> None:
        self._kept["phase"] = stamp

    def note_newest(self, stamp: str) -> None:
        """Note what the flow itself reported last; what is no stamp counts as none."""
        known = str(self._kept.get("newest", ""))
        if stamp > (known if known and known < ";" else self.since):
            self._kept["newest"] = stamp

    @property
    def status(self) -> dict[str, Any]:
        return dict(self._kept.get("status", {}))

    @status.setter
    def status(self, facts: dict[str, Any]) -> None:
        self._kept["status"] = facts

    def stamps_of(self, column: str) -> dict[str, str]:
        return dict(self._kept.get("clocks", {}).get(column, {}))

    def note_stamps(self, column: str, stamps: dict[str, str]) -> None:
        if stamps:
            self._kept["clocks"] = self._kept.get("clocks", {}) | {column: stamps}

    def count_of(self, name: str) -> dict[str, Any] | None:
        counts: dict[str, dict[str, Any]] = self._kept.get("counts", {})
        return counts.get(name)

    def note_count(self, name: str, count: dict[str, Any] | None) -> None:
        if count:
            self._kept["counts"] = self._kept.get("counts", {}) | {name: count}

    def forget_counts(self, phases: Iterable[str]) -> None:
        for phase in phases:
            self._kept.get("counts", {}).pop(f"attempts:{phase}", None)

    @property
    def usage(self) -> dict[str, Any]:
        return dict(self._kept.get("usage", {}))

    @usage.setter
    def usage(self, kept: dict[str, Any]) -> None:
        if kept:
            self._kept["usage"] = kept

    def marks_of(self, window: str) -> list[str]:
        return list(self._kept.get(window, []))

    def note_marks(self, window: str, marks: list[str]) -> None:
        if marks:
            self._kept[window] = marks

    def note_sorted(self, column: str) -> None:
        known = self._kept.get("sorted", [])
        if column not in known:
            self._kept["sorted"] = sorted([*known, column])

    def kept(self) -> dict[str, Any]:
        """Return all of it; of what was set aside, the first and the newest of each column stay."""
        if not self._displaced:
            return self._kept
        first = self._kept.get("displaced", {})
        newest = {
            f"{column} (newest)": value
            for column, value in self._displaced.items()
            if column in first and json_text(first[column]) != json_text(value)
        }
        return self._kept | {"displaced": self._displaced | first | newest}


def _shows_a_merge(row: dict[str, Any]) -> bool:
    """Return whether a row was merged into before, so that its bookkeeping is lost and not yet to come."""
    ends = [row[column][-1] for column in _LISTS if isinstance(row[column], list) and row[column]]
    times, agents = row["phase_execution_times"], row["agent_performance_metrics"]
    used = agents.get("usage") if isinstance(agents, dict) else None
    models = [found for found in used.values() if isinstance(found, dict)] if isinstance(used, dict) else []
    return row["updated_at"] > row["created_at"] and (
        row["retry_count"] > 0
        or any(isinstance(entry, dict) and "id" in entry for entry in ends)
        or (
            isinstance(times, dict)
            and any(isinstance(time, dict) and "attempts" in time for time in times.values())
        )
        or any(
            isinstance(figures, dict) and "calls" in figures for each in models for figures in each.values()
        )
    )
