"""How long to wait before the next try, by one rule for all who try again."""

import random
import time
from typing import Final

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0

# Not the module's generator, which a program may have seeded for its own sake.
_chance: Final = random.Random()  # noqa: S311


def pause_s(failures: int, *, first_s: float, longest_s: float) -> float:
    """Return the seconds to wait after one or more failures in a row: doubled each time, bounded."""
    return min(longest_s, first_s * 2.0 ** min(failures - 1, 60))


class Haste:
    """What may be done at once now and then: after each time half as often, until it has helped."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self.renew()

    def renew(self) -> None:
        """Note that it has helped."""
        self._again_at, self._wait_s = float("-inf"), self._first_s

    def take(self, now: float) -> bool:
        """Return whether it may be done now, and take it for done if so."""
        if now < self._again_at:
            return False
        self._again_at = now + self._wait_s
        self._wait_s = pause_s(2, first_s=self._wait_s, longest_s=self._longest_s)
        return True


class Backoff:
    """Pauses that double from 0.1 to 5 seconds, with jitter, so that not all senders come back at once."""

    def __init__(self) -> None:
        self._failures = 0
        self.retry_at = 0.0

    @property
    def is_failing(self) -> bool:
        """Return whether the last attempt failed."""
        return self._failures > 0

    def note_failure(self) -> None:
        """Lengthen the pause."""
        self._failures += 1
        longest_s = pause_s(self._failures, first_s=_FIRST_S, longest_s=_LONGEST_S)
        self.retry_at = time.monotonic() + longest_s * _chance.uniform(0.5, 1)

    def note_success(self) -> bool:
        """End the pauses; return whether this ends a failure."""
        was_failing, self._failures = self.is_failing, 0
        self.retry_at = 0.0
        return was_failing
