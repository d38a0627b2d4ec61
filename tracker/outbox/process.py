"""The delivery of this process: opened by its first event, renewed in a forked child, closed at exit."""

import atexit
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from masterflow.domain.events import Lane
from masterflow.tracker.outbox.adoption import adopt_orphans
from masterflow.tracker.outbox.delivery import Delivery
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.memory import MemoryOutbox
from masterflow.tracker.outbox.outbox import OutboxClosed
from masterflow.tracker.outbox.settings import OutboxSettings

#: How long a spool that cannot be opened is left alone, so that hooks do not wait for a sick disk.
_REOPEN_INTERVAL_S: Final = 1.0

_EXIT_POLL_S: Final = 0.1


class ProcessDelivery:
    """The one delivery of a process; any thread may use it."""

    def __init__(self) -> None:
        self._redirect: MemoryOutbox | None = None
        self._begin()
        os.register_at_fork(
            before=self._hold, after_in_parent=self._release, after_in_child=self._begin_in_child
        )
        atexit.register(self._close_at_exit)

    def _begin(self) -> None:
        self._gate = threading.RLock()
        self._delivery: Delivery | None = None
        self._memory: MemoryOutbox | None = None
        self._settings: OutboxSettings | None = None
        self._reopen_at = 0.0
        self.losses = Losses()

    @property
    def settings(self) -> OutboxSettings:
        """Return the outbox's settings, read from the environment once, or fail with SettingsInvalid."""
        if self._settings is None:
            self._settings = OutboxSettings()
        return self._settings

    @property
    def memory(self) -> MemoryOutbox | None:
        """Return where reports stay, if they are not kept on disk and not sent."""
        return self._redirect or self._memory

    @contextmanager
    def redirected(self, memory: MemoryOutbox) -> Iterator[None]:
        """Let the reports of a test stay in memory, also those of children that it forks."""
        former, self._redirect = self._redirect, memory
        try:
            yield
        finally:
            self._redirect = former

    @property
    def is_strict(self) -> bool:
        """Return whether a report that makes no sense raises; without readable settings none does."""
        try:
            return self.settings.is_strict
        except Exception:  # noqa: BLE001  whatever is wrong with them, a hook must not raise because of it
            return False

    def append(self, lane: Lane, event: bytes) -> None:
        """Keep an event's JSON until a worker confirms it; with OSError or SettingsInvalid it is lost."""
        while True:
            try:
                return (self._redirect or self._memory or self._delivery or self._open()).append(lane, event)
            except OutboxClosed:
                continue

    def flush(self, timeout_s: float) -> bool:
        """Return whether workers confirm, within the time, all that was reported before this call.

        It blocks its thread: in an event loop, call it by `asyncio.to_thread`.
        """
        if self.memory is not None or self._delivery is None:
            return True
        return self._delivery.flush(timeout_s)

    def shutdown(self, timeout_s: float) -> bool:
        """Flush, stop the threads and close the files; return whether everything was confirmed.

        What was not confirmed stays on disk for the next process. A later report opens a new outbox.
        """
        deadline = time.monotonic() + timeout_s
        is_confirmed = self.flush(timeout_s)
        with self._gate:
            delivery, self._delivery, self._settings = self._delivery, None, None
            self._memory = None
        if delivery is not None:
            try:
                delivery.close(deadline)
            except OSError as error:
                self.losses.log.warning("close", "The outbox could not be closed cleanly: %s", error)
        return is_confirmed

    def adopt(self) -> int:
        """Take over what dead processes left, and return its number of records."""
        delivery = self.memory or self._delivery or self._open()
        if isinstance(delivery, MemoryOutbox):
            return 0
        delivery.start()
        adopted_records = adopt_orphans(delivery.outbox)
        delivery.sender.notice()
        return adopted_records

    def status(self) -> dict[str, Any]:
        """Return what waits, what is under way, and how many events were lost by reason, in this process."""
        delivery = self._delivery
        waiting = delivery.outbox.pending() if delivery else {"pending_records": 0, "pending_bytes": 0}
        return {
            **waiting,
            "batches_under_way": delivery.sender.batches_under_way if delivery else 0,
            "is_cut_off": delivery.sender.is_cut_off if delivery else False,
            "lost": self.losses.counts(),
            **({"outbox": "off", **self.memory.status()} if self.memory else {}),
        }

    def _open(self) -> Delivery | MemoryOutbox:
        with self._gate:
            if self.settings.is_off:
                if self._memory is None:
                    self._memory = MemoryOutbox()
                    self.losses.log.warning(
                        "off",
                        "ENRICHMENT_OUTBOX=off: reports stay in this process, and none is sent.",
                    )
                return self._memory
            if self._delivery is None:
                if time.monotonic() < self._reopen_at:
                    raise OSError("the spool could not be opened a moment ago")
                self._reopen_at = time.monotonic() + _REOPEN_INTERVAL_S
                self._delivery = Delivery(self.settings, self.losses)
                self._reopen_at = 0.0
            return self._delivery

    def _close_at_exit(self) -> None:
        if (delivery := self._delivery) is None:
            return
        deadline = time.monotonic() + self.settings.exit_timeout_s
        while time.monotonic() < deadline and not delivery.sender.is_cut_off:
            if self.flush(min(_EXIT_POLL_S, deadline - time.monotonic())):
                break
        self.shutdown(0.0)

    def _hold(self) -> None:
        self._gate.acquire()
        if self._delivery is not None:
            self._delivery.sender.hold()

    def _release(self) -> None:
        if self._delivery is not None:
            self._delivery.sender.release()
        self._gate.release()

    def _begin_in_child(self) -> None:
        # The child has none of the parent's threads, and must not hold on to its folder or its locks.
        if self._delivery is not None:
            self._delivery.outbox.abandon()
        self._begin()


#: This process's.
process_delivery = ProcessDelivery()
