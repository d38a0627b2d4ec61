"""Lists: the newest 100 entries by time and id, each once, the older half of them short."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.model.jsonb import as_text, json_bytes, json_text

_MOST_ENTRIES = 100
#: So many of the newest may have 4 KB each; the others have 1,100 bytes.
_WHOLE_ENTRIES = 50
_SHORT_ENTRY_BYTES = 1_100

#: What is kept of an entry that is shortened, and how many characters of it.
_KEPT = {"id": 40, "timestamp": 32, "phase": 40, "status": 20, "agent": 40, "action": 40, "error": 80}
_KEPT_WHOLE_BYTES = 60
_TEXT_CHARS = 250
_FEWEST_CHARS = 150

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)? ?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def merged_list(stored: list[Any], fresh: list[dict[str, Any]]) -> list[Any]:
    """Return the list once the fresh entries are in it."""
    known = {as_text(entry.get("id")) for entry in stored if isinstance(entry, dict)}
    entries = [entry for entry in fresh if entry["id"] not in known] + stored
    # The sort is stable: of entries of one time and id, the order stays.
    newest_first = sorted(entries, key=_place)[-_MOST_ENTRIES:][::-1]
    whole, older = newest_first[:_WHOLE_ENTRIES], newest_first[_WHOLE_ENTRIES:]
    return [*map(_shortened, older[::-1]), *whole[::-1]]


def listing_of(entries: list[Any]) -> list[str]:
    """Return the compact index of transitions: `"phase:status"` of each."""
    return [f"{_name(_part(entry, 'phase'))}:{(_part(entry, 'status') or '?')[:40]}" for entry in entries]


def _name(phase: str | None) -> str:
    phase = "?" if phase is None else phase
    if len(phase.encode()) <= 60 or json_bytes(phase) <= 122:
        return phase
    return phase[:60] if json_bytes(phase[:60]) <= 122 else phase[:20]


def _part(entry: Any, name: str) -> str | None:
    return as_text(entry.get(name)) if isinstance(entry, dict) else None


def _place(entry: Any) -> tuple[bool, datetime, str]:
    """Return when an entry was, and its id; what has no readable time was before all others."""
    at = moment(entry.get("timestamp")) if isinstance(entry, dict) else None
    return at is not None, at or _EPOCH, (_part(entry, "id") or "")


def moment(value: Any) -> datetime | None:
    """Return the time that any form of it stands for; one without an offset is UTC."""
    if isinstance(value, str):
        return _iso_moment(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _epoch_moment(Decimal(str(value)))
    return None


def _iso_moment(text: str) -> datetime | None:
    found = _ISO.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if offset >= timedelta(hours=24) or int(minutes or 0) > 59:
        return None
    try:
        at = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        )
        at += timedelta(microseconds=int((fraction or "0")[:6].ljust(6, "0")))
        return at + offset if sign == "-" else at - offset
    except (ValueError, OverflowError):
        return None


def _epoch_moment(number: Decimal) -> datetime | None:
    """Read seconds, or if it is too large for them milli- or microseconds."""
    size = abs(number)
    scale = 10**6 if size < 10**11 else 10**3 if size < 10**14 else 1
    try:
        return _EPOCH + timedelta(microseconds=int((number * scale) // 1)) if size < 10**17 else None
    except OverflowError:
        return None


def _shortened(entry: Any) -> Any:
    if json_bytes(entry) <= _SHORT_ENTRY_BYTES:
        return entry
    note = f"…[truncated {len(json_text(entry))} chars]"
    if not isinstance(entry, dict):
        text = (as_text(entry) or "")[:_TEXT_CHARS]
        return f"{text if json_bytes(text) <= 4 * _TEXT_CHARS + 2 else text[:_FEWEST_CHARS]}{note}"
    kept = {name: _cut(entry[name], chars, name) for name, chars in _KEPT.items() if name in entry}
    return {name: part for name, part in kept.items() if part is not None} | {"truncated": note}


def _cut(part: Any, chars: int, name: str) -> Any:
    if json_bytes(part) <= _KEPT_WHOLE_BYTES:
        return part
    if name == "timestamp":
        return None
    cut = (as_text(part) or "")[:chars]
    return cut if json_bytes(cut) <= 3 * chars + 2 else cut[: chars // 2]
