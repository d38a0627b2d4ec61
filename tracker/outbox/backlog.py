"""What an outbox waits for, told now and then, so that people see it from afar."""

import time
from typing import Final

from masterflow.tasks.enqueue import ConfirmationInbox
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.window import Window

_INTERVAL_S: Final = 5.0


class Backlog:
    """Tells Redis how much is unconfirmed or lost, and nothing while it is neither; belongs to the sender."""

    def __init__(self, outbox: Outbox, window: Window, losses: Losses) -> None:
        self._outbox = outbox
        self._window = window
        self._losses = losses
        self._tell_at = time.monotonic() + _INTERVAL_S
        self._has_told = False

    def tell(self, inbox: ConfirmationInbox, now: float) -> None:
        """Tell it if it is time; with BrokerUnavailable the next time will do."""
        if now < self._tell_at:
            return
        self._tell_at = now + _INTERVAL_S
        waiting, lost = self._outbox.pending(), sum(self._losses.counts().values())
        has_news = bool(waiting["pending_records"] or lost)
        if has_news or self._has_told:
            inbox.note_backlog(
                {
                    "events": waiting["pending_records"],
                    "bytes": waiting["pending_bytes"],
                    "lost": lost,
                    "oldest_at": self._window.oldest_at,
                }
            )
            self._has_told = has_news
