"""The deadlines in `flow_metadata.overdue`, and which of them still matter."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from masterflow.domain.clock import parse_time
from masterflow.domain.json_shapes import as_list, as_map
from masterflow.domain.statuses import ACTIVE_STATUSES

#: Statuses of a phase that has not ended.
_OPEN: Final = frozenset({"processing", "active", "paused", "waiting_for_approval", "unfinished"})

_TIME_CHARS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedDeadline:
    """A deadline at which a phase, or the whole flow, was still open."""

    #: None for the whole flow.
    phase: str | None
    deadline_at: datetime
    started_at: datetime | None = None


def overdue(status: str, metadata: object, transitions: object) -> list[PassedDeadline]:
    """Return what is overdue now, the earliest deadline first; `is_overdue.sql` says whether anything is.

    Nothing is of a flow that ended or failed. A phase is until it ended after it began; a flow is unless a
    later deadline was set since (`flow_metadata.deadline_at`), as by whoever resumed it.
    """
    if status not in ACTIVE_STATUSES:
        return []
    row = as_map(metadata)
    ends = list(_ends(as_list(transitions)))
    found = [entry for entry in as_list(row.get("overdue")) if _matters(entry, row, ends)]
    passed = [
        PassedDeadline(
            phase=entry.get("phase"), deadline_at=at, started_at=parse_time(entry.get("started_at"))
        )
        for entry in found
        if (at := parse_time(entry["timestamp"]))
    ]
    return sorted(passed, key=lambda one: (one.deadline_at, one.phase or ""))


def _matters(entry: Any, row: dict[str, Any], ends: Iterable[tuple[str, str]]) -> bool:
    if not isinstance(entry, dict) or not (at := _time(entry.get("timestamp"))):
        return False
    phase = entry.get("phase")
    if phase is None:
        return _time(row.get("deadline_at")) <= at
    since = _time(entry.get("started_at")) or at
    return isinstance(phase, str) and not any(name == phase and ended > since for name, ended in ends)


def _ends(transitions: list[Any]) -> Iterator[tuple[str, str]]:
    for entry in transitions:
        fields = as_map(entry)
        phase, status = fields.get("phase"), fields.get("status")
        if isinstance(phase, str) and isinstance(status, str) and status not in _OPEN:
            yield phase, _time(fields.get("timestamp"))


def _time(text: object) -> str:
    """Return a time as the merge writes it, which sorts as text; what is none is empty."""
    is_ours = isinstance(text, str) and len(text) == _TIME_CHARS and text.endswith("+00:00")
    return str(text) if is_ours else ""
