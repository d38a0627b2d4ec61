"""What could not be kept or delivered: counted by reason, and logged once a minute."""

import logging
import threading
import time
from collections import Counter
from typing import Final

from masterflow.domain.shown.harmless import harmless

logger = logging.getLogger(__name__)

_QUIET_S: Final = 60.0


class QuietLog:
    """Warnings, at most one a minute for each topic; how they are formatted is for the host to say.

    So what they quote is made harmless here: names of files and errors may hold anything.
    """

    def __init__(self) -> None:
        self._logged_at: dict[str, float] = {}

    def warning(self, topic: str, text: str, *values: object) -> None:
        """Log the warning unless its topic was logged within the minute."""
        now = time.monotonic()
        if now - self._logged_at.get(topic, -_QUIET_S) >= _QUIET_S:
            self._logged_at[topic] = now
            logger.warning(text, *(value if isinstance(value, int) else harmless(value) for value in values))


class Losses:
    """The events lost since the process started, by reason; safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self.log = QuietLog()
        #: What outboxes that are closed had reported, confirmed and lost.
        self.closed: Counter[str] = Counter()

    def note(self, reason: str, cause: object, count: int = 1) -> None:
        """Count lost events, and log the cause unless this reason was logged within the minute."""
        self.count(reason, count)
        self.tell(reason, cause)

    def count(self, reason: str, count: int = 1) -> None:
        """Count lost events, if any."""
        if count:
            with self._lock:
                self._counts[reason] += count

    def tell(self, reason: str, cause: object) -> None:
        """Log the cause of what was counted, unless this reason was logged within the minute."""
        self.log.warning(reason, "Lost %d events so far (%s): %s", self._counts[reason], reason, cause)

    def counts(self) -> Counter[str]:
        """Return how many events were lost, by reason; 0 for one that never came up."""
        with self._lock:
            return Counter(self._counts)
