"""An outbox with the threads that serve it, from its first event to the end of its process."""

import sys
import threading
import time
from typing import Final

from masterflow.domain import SettingsInvalid
from masterflow.domain.events import Lane
from masterflow.domain.interruptions import pass_interruption
from masterflow.tasks.enqueue import QueueSettings, broker_address
from masterflow.tracker.outbox.losses import Losses, QuietLog
from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.sender import Sender
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.reentry import Wake, is_owned

_SHORTEST_JOIN_S: Final = 0.1
_SYNC_INTERVAL_S: Final = 0.2


def own_broker() -> str:
    """Return which broker this process's events are for; nothing while its settings do not say."""
    try:
        return broker_address(QueueSettings())
    except (SettingsInvalid, ValueError):
        return ""


class Syncer:
    """Syncs what was appended within 200 ms of its append; sleeps while nothing is.

    It has a thread of its own, because a hanging broker may hold up the sender's.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._is_dirty = Wake()
        self._halting = Wake()
        self._is_halted = False
        self._log = QuietLog()
        self.thread = threading.Thread(target=self._run, name="enrichment-outbox-sync", daemon=True)

    def notice(self) -> None:
        """Say that something was appended."""
        self._is_dirty.set()

    def halt(self) -> None:
        """Let the thread end."""
        self._is_halted = True
        self._halting.set()
        self._is_dirty.set()

    def _run(self) -> None:
        while not self._is_halted:
            self._is_dirty.wait()
            self._halting.wait(_SYNC_INTERVAL_S)
            self._is_dirty.clear()
            try:
                self._outbox.sync()
            except OSError as error:
                self._log.warning("sync", "The outbox cannot be synced to the disk: %s", error)


class Delivery:
    """An outbox and the two threads that serve it."""

    def __init__(self, settings: OutboxSettings, losses: Losses, *, broker: str) -> None:
        """Open the outbox, or fail with OSError; the threads start with its first event."""
        self.outbox = Outbox(settings, losses, broker=broker)
        self.sender = Sender(self.outbox, losses, confirm_timeout_s=settings.confirm_timeout_s)
        self._syncer = Syncer(self.outbox)
        self._log = losses.log
        self._starting = threading.RLock()
        self.is_running = False

    def append(self, lane: Lane, event: bytes) -> None:
        """Keep an event and let it be sent; fails as `Outbox.append` does."""
        self.outbox.append(lane, event)
        self.sender.notice()
        self._syncer.notice()
        if not self.is_running:
            self.start()

    def start(self) -> None:
        """Start the threads; where none can start now, the events wait and the next one tries again."""
        # A signal handler may have come in between, and the threads are being started. In an interpreter
        # that ends none would begin, and this one would wait for it for ever.
        if is_owned(self._starting) or sys.is_finalizing():
            return
        with self._starting:
            try:
                for thread in (self._syncer.thread, self.sender.thread):
                    if thread.ident is None:
                        thread.start()
            except RuntimeError as error:
                pass_interruption(error)
                self._log.warning("threads", "The outbox keeps events but cannot send them: %s", error)
            else:
                self.is_running = True

    def flush(self, timeout_s: float) -> bool:
        """Return whether all that was appended before this call is confirmed, within the time."""
        deadline = time.monotonic() + timeout_s
        segments = self.outbox.close_segments()
        self.sender.hasten(deadline)
        try:
            return self.outbox.wait_until_confirmed(segments, deadline)
        finally:
            self.sender.hasten(0.0)

    def close(self, deadline: float) -> dict[str, int]:
        """Stop the threads and close the files, and return the last numbers.

        What is not confirmed stays for the next process.
        """
        self.sender.halt()
        self._syncer.halt()
        for thread in (self.sender.thread, self._syncer.thread):
            if thread.ident is not None:
                thread.join(max(_SHORTEST_JOIN_S, deadline - time.monotonic()))
        return self.outbox.close()
