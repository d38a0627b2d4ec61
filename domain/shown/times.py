"""Times in the words of all readers: the page and the terminal say the same, and in which zone."""

from datetime import UTC, datetime


def moment(at: datetime | None) -> str:
    """Return a time to the second, in UTC: `2026-11-02 09:00:00 UTC`."""
    return "unknown" if at is None else f"{_in_utc(at):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    """Return a time of day to the millisecond, in UTC: `09:00:00.000Z`."""
    return f"{_in_utc(at):%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return at
