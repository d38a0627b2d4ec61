"""What could not be kept or delivered: counted by reason, and logged once a minute."""

import logging
import threading
import time
from typing import Final

logger = logging.getLogger(__name__)

_QUIET_S: Final = 60.0


class QuietLog:
    """Warnings, at most one a minute for each topic."""

    def __init__(self) -> None:
        self._logged_at: dict[str, float] = {}

    def warning(self, topic: str, text: str, *values: object) -> None:
        """Log the warning unless its topic was logged within the minute."""
        now = time.monotonic()
        if now - self._logged_at.get(topic, -_QUIET_S) >= _QUIET_S:
            self._logged_at[topic] = now
            logger.warning(text, *values)


class Losses:
    """The events lost since the process started, by reason; safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self.log = QuietLog()

    def note(self, reason: str, cause: object, count: int = 1) -> None:
        """Count lost events, and log the cause unless this reason was logged within the minute."""
        total = self.count(reason, count)
        self.log.warning(reason, "Lost %d events so far (%s): %s", total, reason, cause)

    def count(self, reason: str, count: int = 1) -> int:
        """Count lost events and return how many that makes."""
        with self._lock:
            total = self._counts[reason] = self._counts.get(reason, 0) + count
        return total

    def counts(self) -> dict[str, int]:
        """Return how many events were lost, by reason."""
        with self._lock:
            return dict(self._counts)
