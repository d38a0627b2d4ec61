"""The thread that brings the outbox to the disk: a hanging broker may hold up the sender's, not this one."""

import threading
from typing import Final

from masterflow.tracker.outbox.losses import QuietLog
from masterflow.tracker.outbox.outbox import Outbox

_INTERVAL_S: Final = 0.2


class Syncer:
    """Syncs what was appended within 200 ms of its append; sleeps while nothing is."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._is_dirty = threading.Event()
        self._is_halted = threading.Event()
        self._log = QuietLog()
        self.thread = threading.Thread(target=self._run, name="enrichment-outbox-sync", daemon=True)

    def notice(self) -> None:
        """Say that something was appended."""
        if not self._is_dirty.is_set():
            self._is_dirty.set()

    def halt(self) -> None:
        """Let the thread end."""
        self._is_halted.set()
        self._is_dirty.set()

    def _run(self) -> None:
        while not self._is_halted.is_set():
            self._is_dirty.wait()
            self._is_halted.wait(_INTERVAL_S)
            self._is_dirty.clear()
            try:
                self._outbox.sync()
            except OSError as error:
                self._log.warning("sync", "The outbox cannot be synced to the disk: %s", error)
