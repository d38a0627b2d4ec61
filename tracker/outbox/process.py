"""The delivery of this process: opened by its first event, renewed in a forked child, closed at exit."""

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from masterflow.domain import SettingsInvalid
from masterflow.domain.events import Lane
from masterflow.domain.interruptions import Suppressed, pass_interruption
from masterflow.tracker.life.holdings import process_holdings
from masterflow.tracker.life.witness import goodbye
from masterflow.tracker.outbox.adoption import Lookout, adopt_orphans, has_orphans
from masterflow.tracker.outbox.delivery import Delivery, own_broker
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.memory import MemoryOutbox
from masterflow.tracker.outbox.outbox import OutboxClosed
from masterflow.tracker.outbox.settings import OutboxSettings

#: How long a spool that cannot be opened is left alone, so that hooks do not wait for a sick disk.
_REOPEN_INTERVAL_S: Final = 1.0

_EXIT_POLL_S: Final = 0.1

_FORK_WAIT_S: Final = 0.005

_NOTHING: Final = {"reported": 0, "pending": 0, "under_way": 0, "confirmed": 0, "lost": 0}


class ProcessDelivery:
    """The one delivery of a process; any thread may use it, and only `append` lets an error pass."""

    def __init__(self) -> None:
        self._redirect: MemoryOutbox | None = None
        #: Whoever holds back what is not reported yet: each is given the seconds that it may take.
        self.feeds: list[Callable[[float], object]] = []
        self._begin()
        os.register_at_fork(
            before=self._hold, after_in_parent=self._release, after_in_child=self._begin_in_child
        )
        atexit.register(self._close_at_exit)
        process_holdings.begin = self.attend

    def _begin(self) -> None:
        self._gate = threading.RLock()
        self._delivery: Delivery | None = None
        self._memory: MemoryOutbox | None = None
        self._settings: OutboxSettings | None = None
        self._reopen_at = 0.0
        self._failure: OSError | SettingsInvalid | None = None
        self._lookout: Lookout | None = None
        #: Whom the last events are for, once the process ends and its settings can no longer be read.
        self._broker = ""
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
        except Exception as error:  # noqa: BLE001  whatever is wrong with them, no hook raises because of it
            pass_interruption(error)
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
        deadline = time.monotonic() + timeout_s
        self._feed(timeout_s)
        if self.memory is not None or self._delivery is None:
            return True
        return self._delivery.flush(max(0.0, deadline - time.monotonic()))

    def shutdown(self, timeout_s: float) -> bool:
        """Flush, stop the threads and close the files; return whether everything was confirmed.

        What was not confirmed stays on disk for the next process, and leaves this one's `status`. A later
        report opens a new outbox.
        """
        deadline = time.monotonic() + timeout_s
        self._say_goodbye()
        is_confirmed = self.flush(timeout_s)
        with self._gate:
            delivery, self._delivery, self._settings = self._delivery, None, None
            self._memory, self._reopen_at, self._failure = None, 0.0, None
            if delivery is not None:
                process_holdings.now.detach()
                self._note_closed(delivery.close(deadline))
        return is_confirmed

    def attend(self) -> None:
        """Let the thread that sends run, also where nothing is reported: it hears what flows are to do."""
        if self._delivery is not None and self._delivery.is_running:
            return
        try:
            delivery = self.memory or self._delivery or self._open()
        except (OSError, SettingsInvalid) as error:
            pass_interruption(error)
            self.losses.log.warning("control", "Nobody can tell flows here what to do: %s", error)
            return
        if not isinstance(delivery, MemoryOutbox):
            delivery.start()

    def look_out(self) -> None:
        """Let a thread take over, every few seconds, what others left, until this process reports itself.

        Its children may report and end without a word, or another process of the host be killed.
        """
        if self._delivery is None and self.memory is None:
            self._lookout = self._lookout or Lookout(self._look)
            self._lookout.start()

    def rest(self) -> None:
        """End that thread."""
        if self._lookout is not None:
            self._lookout.stop(_FORK_WAIT_S)

    def adopt(self, *, whoever: bool = False) -> int:
        """Take over what dead processes left, and return its number of records; begin to send it.

        Call it where a process starts that may not report for long. `whoever` takes over what is for
        another broker too.
        """
        try:
            return self.take_over(whoever=whoever)
        except (OSError, SettingsInvalid) as error:
            pass_interruption(error)
            self.losses.log.warning("adopt", "What dead processes left cannot be taken over: %s", error)
            return 0

    def take_over(self, *, whoever: bool = False) -> int:
        """Do what `adopt` does, but let an error pass: OSError or SettingsInvalid."""
        delivery = self.memory or self._delivery or self._open()
        if isinstance(delivery, MemoryOutbox):
            return 0
        # Before the thread begins, which does the same, so that this knows the number.
        adopted_records = adopt_orphans(delivery.outbox, whoever=whoever)
        delivery.start()
        delivery.sender.notice()
        return adopted_records

    def status(self) -> dict[str, Any]:
        """Return what became of the events that this process has reported or taken over.

        {"reported", "pending", "under_way", "confirmed", "lost": {reason: events}, "pending_records",
        "pending_bytes", "batches_under_way", "is_cut_off"}: pending, under way, confirmed and lost add
        up to reported; `pending_records` is what is not confirmed.
        """
        delivery = self._delivery
        numbers, lost = self._numbers(delivery)
        return {
            **numbers,
            "pending_records": numbers["pending"] + numbers["under_way"],
            "pending_bytes": delivery.outbox.pending()["pending_bytes"] if delivery else 0,
            "batches_under_way": delivery.sender.batches_under_way if delivery else 0,
            "is_cut_off": delivery.sender.is_cut_off if delivery else False,
            "lost": lost,
            **({"outbox": "off", **self.memory.status()} if self.memory else {}),
        }

    def _numbers(self, delivery: Delivery | None) -> tuple[dict[str, int], dict[str, int]]:
        """Return the numbers of all outboxes, and what was lost by reason: at one moment."""
        while True:
            before = self.losses.counts()
            open_ones = [delivery.outbox.numbers()] if delivery else []
            if (lost := self.losses.counts()) == before:
                break
        total = dict(_NOTHING)
        for numbers in (self.losses.closed, *open_ones):
            for name in total:
                total[name] += numbers[name]
        # What no outbox took was reported all the same.
        total["reported"] += lost.total() - total.pop("lost")
        return total, lost

    def _note_closed(self, numbers: dict[str, int]) -> None:
        left = numbers["pending"] + numbers["under_way"]
        self.losses.closed.update(
            reported=numbers["reported"] - left, confirmed=numbers["confirmed"], lost=numbers["lost"]
        )

    def _open(self) -> Delivery | MemoryOutbox:
        with self._gate:
            if self._failure is not None and time.monotonic() < self._reopen_at:
                raise self._failure.with_traceback(None)
            self._reopen_at = time.monotonic() + _REOPEN_INTERVAL_S
            try:
                opened = self._opened_in_memory() if self.settings.is_off else self._opened_on_disk()
            except (OSError, SettingsInvalid) as error:
                pass_interruption(error)
                self._failure = error
                raise
            self._failure = None
            return opened

    def _opened_in_memory(self) -> MemoryOutbox:
        if self._memory is None:
            self._memory = MemoryOutbox()
            self.losses.log.warning(
                "off", "ENRICHMENT_OUTBOX=off: reports stay in this process, and none is sent."
            )
        return self._memory

    def _opened_on_disk(self) -> Delivery:
        delivery = self._delivery or Delivery(self.settings, self.losses, broker=self._broker or own_broker())
        if self._delivery not in (None, delivery):
            # A signal handler has reported meanwhile, and opened it.
            delivery.outbox.close()
            return self._opened_on_disk()
        if self._delivery is None:
            self._delivery = delivery
            if self._lookout is not None:
                self._lookout.end()
            process_holdings.now.attach(delivery.outbox.folder)
            self._close_with_multiprocessing()
        return delivery

    def _say_goodbye(self) -> None:
        """Tell of the flows that this process holds that it ends."""
        if (delivery := self._delivery) is None or self.memory is not None:
            return
        for lane, event in goodbye(process_holdings.now.let_go(), delivery.outbox.sender_id):
            with Suppressed(OSError, OutboxClosed):
                delivery.append(lane, event)

    def _close_with_multiprocessing(self) -> None:
        """Close in a child of `multiprocessing` too, which ends without the functions of `atexit`."""
        process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(None, self._close_at_exit, exitpriority=0)

    def _feed(self, timeout_s: float) -> None:
        """Let whoever holds something back report it."""
        deadline = time.monotonic() + timeout_s
        for feed in tuple(self.feeds):
            try:
                feed(max(0.0, deadline - time.monotonic()))
            except Exception as error:  # noqa: BLE001  what others hold back must not keep us from ours
                self.losses.note("feed", error)

    def _close_at_exit(self) -> None:
        with Suppressed(SettingsInvalid):
            self._feed(self.settings.exit_timeout_s)
        if (delivery := self._delivery) is None:
            return
        settings, self._broker = self._settings, delivery.outbox.own.broker
        self._say_goodbye()
        with Suppressed(SettingsInvalid):
            deadline = time.monotonic() + self.settings.exit_timeout_s
            while time.monotonic() < deadline and not delivery.sender.is_cut_off:
                if self.flush(min(_EXIT_POLL_S, deadline - time.monotonic())):
                    break
        self.shutdown(0.0)
        # What is reported later, by objects that the interpreter takes apart, needs them still.
        self._settings = settings

    def _look(self) -> bool:
        """Take over what others left; return whether to look again: a delivery of our own does it too."""
        try:
            if self.settings.is_off:
                return False
            if has_orphans(self.settings.spool_dir, own_broker()):
                self.adopt()
        except Exception as error:  # noqa: BLE001  whatever it is, the next look may succeed
            self.losses.log.warning("adopt", "What dead processes left cannot be taken over: %s", error)
        return self._delivery is None and self.memory is None

    def _hold(self) -> None:
        # Before the gate, which the thread may want.
        self.rest()
        self._gate.acquire()
        if self._delivery is not None:
            self._delivery.sender.hold()

    def _release(self) -> None:
        if self._delivery is not None:
            self._delivery.sender.release()
        self._gate.release()
        self.look_out()

    def _begin_in_child(self) -> None:
        # The child has none of the parent's threads, and must not hold on to its folder or its locks.
        if self._delivery is not None:
            self._delivery.outbox.abandon()
        process_holdings.renew()
        self._begin()


#: This process's.
process_delivery = ProcessDelivery()
process_delivery.look_out()
