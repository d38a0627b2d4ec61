"""What a dead process left in the spool, taken over by a living one."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from masterflow.domain.interruptions import Suppressed, pass_interruption
from masterflow.domain.life.holding import HOLDING
from masterflow.domain.life.own_files import check_own_folder
from masterflow.tracker.life.witness import has_witnessed, last_words
from masterflow.tracker.outbox.folder import remove_folder
from masterflow.tracker.outbox.losses import QuietLog
from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.segments import segments_in
from masterflow.tracker.outbox.spool import broker_of, claimed, folders
from masterflow.tracker.reentry import Wake

_LOOK_INTERVAL_S: Final = 3.0

_log = QuietLog()


def adopt_orphans(outbox: Outbox, *, whoever: bool = False) -> int:
    """Move the segments of dead processes into this outbox while it has room; return their open records.

    Never what is for another broker, or does not say for which, unless `whoever` says so. What cannot be
    read or moved costs nothing else: it stays, and `flowctl outbox status` names it.
    """
    if not outbox.own.excludes_others:
        return 0
    adopted_records = 0
    spool = outbox.folder.parent
    try:
        brokers = {folder: broker_of(folder) for folder in folders(spool) if folder != outbox.folder}
    except OSError as error:
        pass_interruption(error)
        _log.warning(str(spool), "The outbox folder %s cannot be looked through: %s", spool, error)
        return 0
    _tell_of_strangers(spool, [folder for folder, broker in brokers.items() if not broker])
    for folder, broker in brokers.items():
        if whoever or (broker and broker == outbox.own.broker):
            try:
                adopted_records += _empty(folder, outbox)
            except OSError as error:
                pass_interruption(error)
                _log.warning(
                    str(folder), "What a dead process left in %s cannot be taken over: %s", folder, error
                )
    return adopted_records


def has_orphans(spool: Path, broker: str) -> bool:
    """Return whether dead processes left anything that a process with this broker may take over."""
    return bool(broker) and any(
        broker_of(folder) == broker and _has_orphans(folder) for folder in folders(spool)
    )


def _tell_of_strangers(spool: Path, unknown: Iterable[Path]) -> None:
    """Say that nothing is sent of what other users have made, in one line, however many these are."""
    strangers: list[tuple[Path, OSError]] = []
    for folder in unknown:
        try:
            check_own_folder(folder)
        except OSError as error:
            pass_interruption(error)
            strangers.append((folder, error))
    if strangers:
        first, trouble = strangers[0]
        text = "%s in the outbox folder is not looked at, nor are %d others: %s"
        _log.warning(f"strangers in {spool}", text, first, len(strangers) - 1, trouble.strerror or trouble)


def _has_orphans(folder: Path) -> bool:
    try:
        with claimed(folder) as journal:
            return journal is not None and (bool(segments_in(folder)) or (folder / HOLDING).exists())
    except OSError as error:
        pass_interruption(error)
        return False


def _empty(folder: Path, outbox: Outbox) -> int:
    with claimed(folder) as journal:
        if journal is None:
            return 0
        # Before the files are moved, in which the process's last moment stands.
        told = last_words(folder)
        found = segments_in(folder)
        # A power cut must find each file in one of the two folders, and both with what says whose it is:
        # so this one's names are on the disk before the files come, and theirs before the other one goes.
        with Suppressed(OSError):
            outbox.sync_names()
            outbox.sync_names(*found)
        adopted_records = outbox.adopt(found, journal)
        for lane, event in told:
            outbox.append(lane, event)
        if found or told:
            with Suppressed(OSError):
                outbox.sync()
                outbox.sync_names()
        has_witnessed(folder)
        remove_folder(folder)
    return adopted_records


class Lookout:
    """The thread of a process that has reported nothing itself, and so adopts nothing by a sender.

    It looks every few seconds, and never while the process forks: a fork would copy what it holds.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        """Take what looks once, and returns whether to look again."""
        self._look = look
        self._look_at = time.monotonic() + _LOOK_INTERVAL_S
        self._ended = Wake()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, or go on where `stop` interrupted; what was due meanwhile is done at once."""
        self._ended = Wake()
        with Suppressed(RuntimeError):  # No thread can be had now, or none of this kind in this interpreter.
            self._thread = threading.Thread(
                target=self._run, args=[self._ended], name="enrichment-outbox-lookout", daemon=True
            )
            self._thread.start()

    def end(self) -> None:
        """Let the thread end once it has looked."""
        self._ended.set()

    def stop(self, timeout_s: float) -> None:
        """Let the thread end, and wait until it has, at most so long."""
        self.end()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self, ended: Wake) -> None:
        while not ended.wait(max(0.0, self._look_at - time.monotonic())):
            self._look_at = time.monotonic() + _LOOK_INTERVAL_S
            if not self._look():
                return
