"""Errors and agents' doings as lines to read, whatever shape their entries have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from status.page.words import pretty

_LINE_CHARS: Final = 160
_WHO: Final = ("agent", "agent_name", "from_agent")
_WHAT: Final = ("activity", "message", "action", "text", "message_type", "insight_type")


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
    text = _text(entry.get("error"))
    details = (pretty(entry["details"]),) if entry.get("details") else ()
    phase = _text(entry.get("phase")) or "no phase"
    return Entry(_anchor("error", number, entry), _time(entry), phase, _line(text), (text, *details))


def _activity(number: int, entry: Mapping[str, Any]) -> Entry:
    who, what = _first(entry, _WHO) or "somebody", _first(entry, _WHAT)
    return Entry(_anchor("activity", number, entry), _time(entry), who, _line(what), (pretty(entry),))


def _anchor(kind: str, number: int, entry: Mapping[str, Any]) -> str:
    return f"{kind}-{_text(entry.get('id'))[:64] or number}"


def _time(entry: Mapping[str, Any]) -> str:
    return _text(entry.get("timestamp"))[:19].replace("T", " ")


def _line(text: str) -> str:
    return text if len(text) <= _LINE_CHARS else f"{text[:_LINE_CHARS]}…"


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((_text(entry[name]) for name in names if entry.get(name)), "")


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else pretty(value)
