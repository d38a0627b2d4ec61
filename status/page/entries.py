"""Errors and agents' doings as lines to read, whatever shape their entries have."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from masterflow.domain.clock import parse_time
from masterflow.domain.json_shapes import as_map
from masterflow.domain.shown.times import moment
from masterflow.status.entry_texts import entry_text, what_was_done, who_acted
from masterflow.status.page.words import pretty
from masterflow.status.summary.causes import ErrorCause, cause_of_entry
from masterflow.status.views import Errors

_LINE_CHARS: Final = 160
_TRACE_ID: Final = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, and what it says when it is opened."""

    anchor: str
    time: str
    who: str
    line: str
    texts: tuple[str, ...]
    #: The address of the trace that it was reported in, or nothing.
    trace: str = ""


def error_entries(errors: Iterable[Mapping[str, Any]], trace_url: str | None = None) -> list[Entry]:
    """Return errors, with the phase as who it was; `trace_url` has `{trace_id}` in it."""
    return [
        replace(_error(number, entry), trace=_trace(as_map(entry.get("details")), trace_url))
        for number, entry in enumerate(errors)
    ]


@dataclass(frozen=True, slots=True)
class CauseEntries:
    """Errors of one cause, the newest first."""

    anchor: str
    cause: ErrorCause
    entries: list[Entry]


def causes_with_entries(errors: Errors, trace_url: str | None = None) -> list[CauseEntries]:
    """Return the causes of these errors, each with those of its errors that are here as lines."""
    by_cause: dict[str, list[Entry]] = {}
    for entry, line in zip(errors.errors, error_entries(errors.errors, trace_url), strict=True):
        by_cause.setdefault(cause_of_entry(entry), []).append(line)
    return [
        CauseEntries(f"cause-{sha256(one.cause.encode()).hexdigest()[:12]}", one, by_cause[one.cause])
        for one in errors.causes
        if one.cause in by_cause
    ]


def activity_entries(
    collaborations: Iterable[Mapping[str, Any]], trace_url: str | None = None
) -> list[Entry]:
    """Return what agents did; `trace_url` has `{trace_id}` in it."""
    return [
        replace(_activity(number, entry), trace=_trace(entry, trace_url))
        for number, entry in enumerate(collaborations)
    ]


def _error(number: int, entry: Mapping[str, Any]) -> Entry:
    text = entry_text(entry.get("error"))
    details = (pretty(entry["details"]),) if entry.get("details") else ()
    phase = entry_text(entry.get("phase")) or "no phase"
    return Entry(_anchor("error", number, entry), _time(entry), phase, _line(text), (text, *details))


def _activity(number: int, entry: Mapping[str, Any]) -> Entry:
    who, what = who_acted(entry), what_was_done(entry)
    return Entry(_anchor("activity", number, entry), _time(entry), who, _line(what), (pretty(entry),))


def _trace(entry: Mapping[str, Any], trace_url: str | None) -> str:
    trace_id = entry.get("trace_id")
    if not trace_url or not isinstance(trace_id, str) or not _TRACE_ID.fullmatch(trace_id):
        return ""
    return trace_url.replace("{trace_id}", trace_id)


def _anchor(kind: str, number: int, entry: Mapping[str, Any]) -> str:
    return f"{kind}-{entry_text(entry.get('id'))[:64] or number}"


def _time(entry: Mapping[str, Any]) -> str:
    at = parse_time(entry.get("timestamp"))
    return "time unknown" if at is None else moment(at)


def _line(text: str) -> str:
    return text if len(text) <= _LINE_CHARS else f"{text[:_LINE_CHARS]}…"
