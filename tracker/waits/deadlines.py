"""When a phase or a flow becomes overdue, as the row says it."""

from datetime import UTC, datetime, timedelta
from typing import Final

from masterflow.domain import InputInvalid
from masterflow.tracker.report import refuse

_LONGEST_S: Final = 10 * 365 * 86_400.0


def deadline_after(deadline_s: float | None) -> datetime | None:
    """Return the time so many seconds from now; what is no such number is refused, and is no deadline."""
    if deadline_s is None:
        return None
    is_number = isinstance(deadline_s, int | float) and not isinstance(deadline_s, bool)
    if not is_number or not 0 < deadline_s <= _LONGEST_S:
        text = "is no deadline; pass seconds above 0, at most ten years of them."
        refuse(InputInvalid(f"{deadline_s!r:.40} {text}"))
        return None
    return datetime.now(UTC) + timedelta(seconds=deadline_s)


def deadline_facts(at: datetime | None) -> dict[str, str]:
    """Return what the row says of a deadline: `{"deadline_at": "2026-11-27T20:00:00.000000+00:00"}`."""
    return {} if at is None else {"deadline_at": at.isoformat(timespec="microseconds")}
