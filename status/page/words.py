"""Times, durations and states in the words of the page."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from masterflow.domain.clock import to_microseconds
from masterflow.domain.shown.times import moment
from masterflow.status.durations import DAY_S, HOUR_S, MINUTE_S, lasting
from masterflow.status.fleet.words import change, rate
from masterflow.status.floors import figure as number
from masterflow.status.floors import skipped_sentence
from masterflow.status.summary.life import life_sentence

__all__ = [
    "ago",
    "change",
    "coarse",
    "figure",
    "lasting",
    "life_sentence",
    "moment",
    "number",
    "plain",
    "pretty",
    "rate",
    "sign",
    "skipped_sentence",
    "stamp",
    "tone",
]

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
    return "just now" if seconds < 5 else f"{coarse(seconds)} ago"


def stamp(at: datetime) -> int:
    """Return a time as the page's scripts count it: milliseconds since 1970."""
    return to_microseconds(at) // 1_000


def figure(value: object) -> str:
    """Return a measured value, or JSON of what is no plain value."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return pretty(value)
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def pretty(value: Any) -> str:
    """Return JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def coarse(seconds: float) -> str:
    """Return a length of time in its greatest unit."""
    if seconds < MINUTE_S:
        return f"{int(seconds)} s"
    if seconds < HOUR_S:
        return f"{int(seconds // MINUTE_S)} min"
    if seconds < DAY_S:
        return f"{int(seconds // HOUR_S)} h"
    return f"{int(seconds // DAY_S)} d"
