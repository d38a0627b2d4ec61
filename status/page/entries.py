"""Errors and agents' doings as lines to read, whatever shape their entries have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from masterflow.status.entry_texts import entry_text, what_was_done, who_acted
from masterflow.status.page.words import pretty

_LINE_CHARS: Final = 160


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, and what it says when it is opened."""

    anchor: str
    time: str
    who: str
    line: str
    texts: tuple[str, ...]


def error_entries(errors: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return errors, with the phase as who it was."""
    return [_error(number, entry) for number, entry in enumerate(errors)]


def activity_entries(collaborations: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return what agents did."""
    return [_activity(number, entry) for number, entry in enumerate(collaborations)]


def _error(number: int, entry: Mapping[str, Any]) -> Entry:
    text = entry_text(entry.get("error"))
    details = (pretty(entry["details"]),) if entry.get("details") else ()
    phase = entry_text(entry.get("phase")) or "no phase"
    return Entry(_anchor("error", number, entry), _time(entry), phase, _line(text), (text, *details))


def _activity(number: int, entry: Mapping[str, Any]) -> Entry:
    who, what = who_acted(entry), what_was_done(entry)
    return Entry(_anchor("activity", number, entry), _time(entry), who, _line(what), (pretty(entry),))


def _anchor(kind: str, number: int, entry: Mapping[str, Any]) -> str:
    return f"{kind}-{entry_text(entry.get('id'))[:64] or number}"


def _time(entry: Mapping[str, Any]) -> str:
    return entry_text(entry.get("timestamp"))[:19].replace("T", " ") or "time unknown"


def _line(text: str) -> str:
    return text if len(text) <= _LINE_CHARS else f"{text[:_LINE_CHARS]}…"
