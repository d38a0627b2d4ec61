"""The thread that sends what is in the outbox, until workers have confirmed all of it."""

import logging
import sys
import threading
import time
from dataclasses import replace
from typing import Final

from masterflow.domain import SettingsInvalid
from masterflow.domain.backoff import Backoff
from masterflow.tasks.enqueue import (
    BrokerUnavailable,
    ConfirmationInbox,
    Publisher,
    QueueSettings,
    broker_address,
)
from masterflow.tracker.control.inbox import ControlInbox
from masterflow.tracker.control.registry import control_registry
from masterflow.tracker.life.holdings import process_holdings
from masterflow.tracker.life.signs import Signs
from masterflow.tracker.outbox.adoption import adopt_orphans
from masterflow.tracker.outbox.backlog import Backlog
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.spool import shared_file_system
from masterflow.tracker.outbox.window import AGAIN, Window
from masterflow.tracker.reentry import Wake

logger = logging.getLogger(__name__)

#: The first event after a quiet moment leaves at once, and what comes within so many seconds travels
#: together: each message keeps the interpreter from the hooks for some 200 microseconds.
_SHORTEST_PACE_S: Final = 0.02
#: Where workers take long, fewer and larger messages cost them less, and a shorter wait would gain little.
_LONGEST_PACE_S: Final = 0.25
_PACE_OF_LATENCY: Final = 0.5

_RECEIVE_INTERVAL_S: Final = 0.25
#: While somebody waits for confirmations, a small part of the time that they take, and this at least: each
#: question costs half a millisecond, and a window full of batches is not empty before the next one.
_HURRIED_INTERVAL_S: Final = 0.02
_HURRY_OF_LATENCY: Final = 0.05

_TIDY_INTERVAL_S: Final = 1.0
_ADOPT_INTERVAL_S: Final = 5.0

_FORK_WAIT_S: Final = 0.005
_LONGEST_FORK_WAIT_S: Final = 1.0


class Sender:
    """Sends an outbox's events and sends them again until they are confirmed; never gives up, never hangs.

    It reads from the files: what waits costs no memory, however long the broker is away.
    """

    def __init__(self, outbox: Outbox, losses: Losses, *, confirm_timeout_s: float) -> None:
        self._outbox = outbox
        self._window = Window(
            losses,
            confirm_timeout_s=confirm_timeout_s,
            lock=outbox.lock,
            note=outbox.note,
        )
        self._backlog = Backlog(outbox, self._window, losses)
        self._log = losses.log
        self._wake = Wake()
        self._nudge = Wake()
        self._at_work = threading.RLock()
        self._is_halted = False
        self._holds = 0
        self._is_interrupted = False
        self._broker = Backoff()
        self._redis = Backoff()
        self._control: ControlInbox | None = None
        self._sent_at = self._hurried_until = self._receive_at = 0.0
        self._pace_s = _SHORTEST_PACE_S
        self._tidy_at = self._adopt_at = 0.0
        self.thread = threading.Thread(target=self._run, name="enrichment-outbox-sender", daemon=True)

    @property
    def is_cut_off(self) -> bool:
        """Return whether the broker or Redis failed at the last attempt."""
        return self._broker.is_failing or self._redis.is_failing

    @property
    def batches_under_way(self) -> int:
        """Return how many batches were sent, or are about to be, and not confirmed."""
        return len(self._window)

    def notice(self) -> None:
        """Say that something was appended."""
        self._wake.set()

    def hasten(self, until: float) -> None:
        """Cut short what pauses the thread makes until a time of the monotonic clock."""
        self._hurried_until, self._receive_at = until, 0.0
        self._wake.set()
        self._nudge.set()

    def halt(self) -> None:
        """Let the thread end."""
        self._is_halted = self._is_interrupted = True
        self.hasten(0.0)

    def hold(self) -> None:
        """Wait until the thread rests: what it locks at a fork stays locked in the child.

        A module that it is importing is such a lock. While the broker or a name server hangs, it holds
        none, and a fork does not wait for them.
        """
        self._is_interrupted = True
        deadline = time.monotonic() + _LONGEST_FORK_WAIT_S
        while not (is_held := self._at_work.acquire(timeout=_FORK_WAIT_S)):
            if not _is_importing(self.thread) or time.monotonic() >= deadline:
                break
        self._holds += is_held

    def release(self) -> None:
        """Let the thread go on after `hold`."""
        self._is_interrupted = self._is_halted
        if self._holds:
            self._holds -= 1
            self._at_work.release()

    def _run(self) -> None:
        with self._at_work:
            self._check_locks()
            while not self._is_halted:
                try:
                    self._serve()
                except Exception as error:
                    self._log.warning(
                        "sender", "The outbox cannot send now: %s: %s", type(error).__name__, error
                    )
                    logger.debug("The sender failed and starts again.", exc_info=True)
                    self._wait(self._nudge, _TIDY_INTERVAL_S)

    def _check_locks(self) -> None:
        folder = self._outbox.folder.parent
        if not self._outbox.own.excludes_others:
            logger.warning(
                "The file system of the outbox folder %s keeps no locks, so nobody takes over what a dead "
                "process leaves there; let ENRICHMENT_SPOOL_DIR name a folder on a local disk.",
                folder,
            )
        elif kind := shared_file_system(folder):
            logger.warning(
                "The outbox folder %s is on %s, whose locks may not hold between hosts; let each host have "
                "a folder of its own, best on a local disk.",
                folder,
                kind,
            )

    def _wait(self, event: Wake, timeout_s: float) -> None:
        if self._is_halted:
            return
        self._at_work.release()
        try:
            event.wait(max(0.0, timeout_s))
        finally:
            self._at_work.acquire()

    def _serve(self) -> None:
        settings, sender_id = QueueSettings(), self._outbox.sender_id
        if not self._outbox.own.belong_to(broker_address(settings)):
            raise SettingsInvalid(
                f"What was reported is for {self._outbox.own.broker or 'a broker that is not known'}, and the"
                f" settings have meanwhile named {broker_address(settings)}; restart the process."
            )
        publisher, inbox = Publisher(settings), ConfirmationInbox(settings, sender_id)
        self._control = control = ControlInbox(settings, control_registry, self._log)
        signs = Signs(settings, sender_id)
        process_holdings.now.attach(self._outbox.folder)
        try:
            while not self._is_halted and self._outbox.sender_id == sender_id:
                # Cleared before the work, so that what is appended during it is not overlooked.
                self._wake.clear()
                self._nudge.clear()
                self._window.restore(self._outbox.restored())
                self._receive(inbox)
                control.receive()
                self._send(publisher)
                if not self._is_interrupted:
                    self._tidy(time.monotonic())
                    self._tell(inbox, signs)
                self._rest()
        finally:
            publisher.close()
            inbox.close()
            control.close()
            is_renamed = self._outbox.sender_id != sender_id
            signs.close(for_good=is_renamed or not process_holdings.now.flows())

    def _receive(self, inbox: ConfirmationInbox) -> None:
        if not self._window or (now := time.monotonic()) < max(self._receive_at, self._redis.retry_at):
            return
        self._receive_at = now + self._receive_interval_s()
        try:
            confirmed = inbox.receive(self._window.awaited())
        except BrokerUnavailable as error:
            self._note_failure(self._redis, error)
            return
        self._note_success(self._redis)
        count = 0
        for name, batch_ids in confirmed.items():
            count += self._window.confirm(batch_ids, time.monotonic(), is_repetition=name.endswith(AGAIN))
        if count:
            self._outbox.settle()
        waited_s = self._window.latency_s if count else time.time() - (self._window.oldest_at or time.time())
        # Half way to it, as one answer may be an accident.
        pace_s = (self._pace_s + _PACE_OF_LATENCY * waited_s) / 2
        self._pace_s = min(_LONGEST_PACE_S, max(_SHORTEST_PACE_S, pace_s))

    def _send(self, publisher: Publisher) -> None:
        if time.monotonic() < self._broker.retry_at:
            return
        unread = self._outbox.unread()
        while self._publish_due(publisher) and unread and not self._window.is_full:
            if not self._window.take(unread):
                break
            unread = [(segment, size) for segment, size in unread if segment.read_to < size]

    def _publish_due(self, publisher: Publisher) -> bool:
        for parcel in self._window.due(time.monotonic()):
            if self._is_interrupted:
                return False
            batch = self._window.batch(parcel, self._outbox.sender_id)
            if batch is None:
                continue
            try:
                digest = publisher.publish(replace(batch, sender_id=parcel.name))
            except BrokerUnavailable as error:
                self._note_failure(self._broker, error)
                return False
            self._sent_at = time.monotonic()
            self._window.note_sent(parcel, self._sent_at, digest)
            self._note_success(self._broker)
        return True

    def _tidy(self, now: float) -> None:
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_INTERVAL_S
            self._outbox.tidy()
        if now >= self._adopt_at:
            self._adopt_at = now + _ADOPT_INTERVAL_S
            if adopt_orphans(self._outbox):
                self._wake.set()

    def _tell(self, inbox: ConfirmationInbox, signs: Signs) -> None:
        if time.monotonic() < self._redis.retry_at:
            return
        try:
            signs.give(time.monotonic())
            self._backlog.tell(inbox, time.monotonic())
        except BrokerUnavailable as error:
            self._note_failure(self._redis, error)

    def _rest(self) -> None:
        # Once it is time to try again, only what is due later may be under way: what comes is sent at once.
        is_deaf = self._broker.retry_at > time.monotonic() or self._window.is_full
        self._wait(self._nudge if is_deaf else self._wake, self._rest_s())
        pace_s = _SHORTEST_PACE_S if self._is_hurried else self._pace_s
        self._wait(self._nudge, self._sent_at + pace_s - time.monotonic())

    def _rest_s(self) -> float:
        now, rest_s = time.monotonic(), _TIDY_INTERVAL_S
        if self._broker.retry_at > now:
            rest_s = min(rest_s, self._broker.retry_at - now)
        if self._window:
            rest_s = min(rest_s, max(self._receive_at, self._redis.retry_at) - now)
        control_s = self._control.due_in_s() if self._control else None
        return rest_s if control_s is None else min(rest_s, control_s)

    @property
    def _is_hurried(self) -> bool:
        return time.monotonic() < self._hurried_until

    def _receive_interval_s(self) -> float:
        if not self._is_hurried:
            return _RECEIVE_INTERVAL_S
        return min(_RECEIVE_INTERVAL_S, max(_HURRIED_INTERVAL_S, _HURRY_OF_LATENCY * self._window.latency_s))

    def _note_failure(self, service: Backoff, error: Exception) -> None:
        service.note_failure()
        self._log.warning("cut off", "The outbox waits for its broker; nothing is lost: %s", error)

    def _note_success(self, service: Backoff) -> None:
        if service.note_success():
            self._window.probe(time.monotonic())


def _is_importing(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  there is no other way to look
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
