"""What is new in a flow's row since the last look at it: the events of `flowctl events tail`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from masterflow.domain.clock import parse_time
from masterflow.domain.json_shapes import as_map, number_of
from masterflow.status import floors
from masterflow.status.durations import lasting
from masterflow.status.entry_texts import entry_text, what_was_done, who_acted
from masterflow.status.timeline import dated_entries
from masterflow.status.views import FlowSummary

Kind = Literal["created", "status", "transition", "error", "activity", "retry", "progress", "other"]

_LISTS: Final[tuple[tuple[str, Kind], ...]] = (
    ("transitions", "transition"),
    ("errors", "error"),
    ("collaborations", "activity"),
)


@dataclass(frozen=True, slots=True)
class News:
    """One thing that was committed into a row."""

    kind: Kind
    text: str
    #: When it happened, which may be well before it was committed; None if unknown.
    at: datetime | None
    phase: str | None = None
    #: The entry of the row's list, if it is one.
    entry: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Known:
    """What is known of one flow; each look at its row adds to it."""

    summary: FlowSummary | None = None
    #: Entries from before this time are old, unless they were known to be missing.
    since: datetime | None = None
    seen: set[str] = field(default_factory=set)

    def learn(self, summary: FlowSummary, lists: Mapping[Any, Any]) -> list[News]:
        """Return what is new in the row, oldest first, and know it from now on."""
        before, self.summary = self.summary, summary
        news = [*_changes(before, summary), *self._new_entries(lists)]
        self.since = None
        if before is not None and not news and before.updated_at != summary.updated_at:
            news.append(News("other", "metrics or metadata", summary.updated_at, summary.current_phase))
        return sorted(news, key=lambda item: item.at.timestamp() if item.at else 0.0)

    def _new_entries(self, lists: Mapping[Any, Any]) -> Iterator[News]:
        for name, kind in _LISTS:
            entries = {_identity(kind, entry): entry for entry in dated_entries(lists.get(name))}
            for identity in entries.keys() - self.seen:
                item = _entry_news(kind, entries[identity])
                if self.since is None or (item.at and item.at >= self.since):
                    yield item
            self._remember(kind, entries)

    def _remember(self, kind: Kind, entries: Iterable[str]) -> None:
        """Know what the list holds now, and forget what has left it."""
        self.seen = {identity for identity in self.seen if not identity.startswith(kind)}.union(entries)


def _identity(kind: Kind, entry: Mapping[str, Any]) -> str:
    return f"{kind} {entry.get('id') or json.dumps(entry, sort_keys=True, default=str)}"


def _entry_news(kind: Kind, entry: Mapping[str, Any]) -> News:
    at, phase = parse_time(entry.get("timestamp")), entry_text(entry.get("phase")) or None
    match kind:
        case "transition":
            text = f"{phase or 'no phase'} {entry_text(entry.get('status'))}{_duration(entry)}"
        case "error":
            text = entry_text(entry.get("error"))
        case _:
            text = f"{who_acted(entry)}: {what_was_done(entry)}"
    return News(kind, text, at, phase, entry)


def _duration(entry: Mapping[str, Any]) -> str:
    milliseconds = number_of(as_map(entry.get("metadata")).get("execution_time_ms"))
    return f" ({lasting(milliseconds)})" if milliseconds is not None else ""


def _changes(before: FlowSummary | None, now: FlowSummary) -> Iterator[News]:
    phase, at = now.current_phase, now.updated_at
    if before is None:
        yield News("created", f"{now.flow_type}: {now.flow_name or 'no name'}", now.created_at, phase)
        if now.status == "initialized":
            return
    if before is None or before.status != now.status:
        came_from = f"{before.status} → " if before else ""
        yield News("status", f"{came_from}{now.status}", now.status_since or at, phase)
    if now.retry_count > (before.retry_count if before else 0):
        count = floors.figure(now.retry_count, floors.RETRIES, now.at_least)
        yield News("retry", f"retry {count}", at, phase)
    progress = (now.progress_percentage, now.message)
    if progress != (before and (before.progress_percentage, before.message)) and any(progress):
        percent = "" if progress[0] is None else f"{progress[0]:.0f} % "
        yield News("progress", f"{percent}{now.message or ''}".strip(), at, phase)
