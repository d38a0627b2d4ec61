"""Times, durations and states in the words of the page."""

import json
from datetime import UTC, datetime
from typing import Any, Final

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400

#: A sign for each status, so that colour is never all there is.
SIGNS: Final = {
    "completed": "✓",
    "processing": "▶",
    "active": "▶",
    "failed": "✕",
    "cancelled": "⊘",
    "paused": "❚❚",
    "waiting_for_approval": "◔",
    "initialized": "○",
    "unfinished": "…",
}


def sign(status: object) -> str:
    """Return the sign of a status."""
    return SIGNS.get(str(status), "•")


def tone(status: object) -> str:
    """Return the class of a status; one that is not ours is `other`."""
    return str(status) if status in SIGNS else "other"


def plain(word: object) -> str:
    """Return a status or a phase as people write it: `data_import` is `data import`."""
    return str(word).replace("_", " ")


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was."""
    if at is None:
        return "unknown"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    return "just now" if seconds < 5 else f"{_coarse(seconds)} ago"


def moment(at: datetime | None) -> str:
    """Return a time to the second, in UTC."""
    return "unknown" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def lasting(milliseconds: float | None) -> str:
    """Return a duration with two digits or so that matter."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < _HOUR_S:
        return f"{int(seconds // _MINUTE_S)} min {int(seconds % _MINUTE_S)} s"
    if seconds < _DAY_S:
        return f"{int(seconds // _HOUR_S)} h {int(seconds % _HOUR_S // _MINUTE_S)} min"
    return f"{int(seconds // _DAY_S)} d {int(seconds % _DAY_S // _HOUR_S)} h"


def figure(value: object) -> str:
    """Return a measured value, or JSON of what is no plain value."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return pretty(value)
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def pretty(value: Any) -> str:
    """Return JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _coarse(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{int(seconds)} s"
    if seconds < _HOUR_S:
        return f"{int(seconds // _MINUTE_S)} min"
    if seconds < _DAY_S:
        return f"{int(seconds // _HOUR_S)} h"
    return f"{int(seconds // _DAY_S)} d"
