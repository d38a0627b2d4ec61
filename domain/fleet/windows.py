"""The windows of time that a fleet is looked at in: hour, day, week, month, in whole steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

WindowName = Literal["hour", "day", "week", "month"]
WINDOW_NAMES: Final[tuple[WindowName, ...]] = get_args(WindowName)

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
DAY_S: Final = 86_400

#: Sums are kept by steps of so many seconds, each for so long: two windows, and the step that goes on.
KEPT_S: Final[Mapping[int, int]] = MappingProxyType(
    {
        5 * _MINUTE_S: 2 * _HOUR_S + 15 * _MINUTE_S,
        _HOUR_S: 15 * DAY_S,
        DAY_S: 61 * DAY_S,
    }
)

#: Flows that began longer ago count only while they are open.
HORIZON_S: Final = 61 * DAY_S


@dataclass(frozen=True, slots=True)
class Window:
    """The time since the start of a step, told in bars of `bar_s` seconds; it ends now."""

    name: WindowName
    length_s: int
    #: The steps of the sums that it is made of.
    step_s: int
    bar_s: int

    def since_s(self, now_s: int) -> int:
        """Return when it begins, in seconds since 1970: its length ago, or since the start of that bar."""
        begin = now_s - self.length_s
        return begin - begin % self.bar_s

    def before_s(self, now_s: int) -> int:
        """Return when the window before it begins, which is as long and ends where this one begins."""
        return self.since_s(now_s) - self.length_s

    def bars(self, now_s: int) -> list[int]:
        """Return when each of its bars begins."""
        return list(range(self.since_s(now_s), now_s + 1, self.bar_s))


WINDOWS: Final[Mapping[WindowName, Window]] = MappingProxyType(
    {
        "hour": Window("hour", _HOUR_S, 5 * _MINUTE_S, 5 * _MINUTE_S),
        "day": Window("day", DAY_S, _HOUR_S, _HOUR_S),
        "week": Window("week", 7 * DAY_S, _HOUR_S, 6 * _HOUR_S),
        "month": Window("month", 30 * DAY_S, DAY_S, DAY_S),
    }
)


def limits_at(now_s: int) -> dict[int, int]:
    """Return by step the start of the first one that is kept."""
    return {step_s: (now_s - kept_s) - (now_s - kept_s) % step_s for step_s, kept_s in KEPT_S.items()}
