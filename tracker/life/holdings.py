"""The flows that this process holds, and the file that tells so once the process is dead."""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Protocol
from uuid import UUID

from masterflow.domain.clock import clock
from masterflow.domain.interruptions import Suppressed, pass_interruption
from masterflow.domain.life.holding import HOLDING, HeldFlow, hold_line, lines_of, moment_line, release_line
from masterflow.domain.life.signs import Held
from masterflow.tracker.reentry import is_owned

_CLOSED: Final = -1
_LONG_BYTES: Final = 64_000
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


class Holder(Protocol):
    """One tracker of a flow in this process."""

    is_held: bool

    def sign(self, flow: HeldFlow) -> Held:
        """Return what a sign tells of its flow."""


class Holdings:
    """Who holds which flow here; any thread, signal handler or garbage collection may change it.

    Changes wait in a queue, which whoever is at work here works off: so nobody waits for a step that he has
    himself come in on. While it is worked off no other lock is taken, the clock's neither.
    """

    def __init__(self) -> None:
        #: By the monotonic clock; what began earlier is a parent's.
        self.began_s = time.monotonic()
        self._lock = threading.RLock()
        self._changes: deque[Callable[[], None]] = deque()
        self._holders: dict[UUID, dict[int, weakref.ref[Any]]] = {}
        self._flows: dict[UUID, HeldFlow] = {}
        self._path: Path | None = None
        self._descriptor = _CLOSED
        self._size = self._whole_size = 0
        #: What kept a flow from being noted.
        self.failure: Exception | None = None
        #: Whether the file lacks something, because the disk did not take it.
        self._is_torn = False

    def hold(self, holder: Holder, held: HeldFlow) -> None:
        """Note that a tracker holds its flow, until it says otherwise or is no more."""
        key, me = id(holder), weakref.ref(self)

        def gone(_: object) -> None:
            if (holdings := me()) is not None:
                holdings.release(held.flow_id, key)

        ref = weakref.ref(holder, gone)
        self._change(lambda: self._hold(held, key, ref))

    def release(self, flow_id: UUID, key: int) -> None:
        """Note that the tracker with this `id` does so no more."""
        at = clock.tick_microseconds(flow_id)
        self._change(lambda: self._release(flow_id, key, at))

    def flows(self) -> dict[UUID, tuple[HeldFlow, Holder | None]]:
        """Return what is held now, each with one of the trackers that hold it."""
        self._settle()
        with self._lock:
            found = {
                flow_id: (held, next(iter(_living(self._holders.get(flow_id, {}))), None))
                for flow_id, held in self._flows.items()
            }
        self._settle()
        return found

    def let_go(self) -> list[HeldFlow]:
        """Hold nothing any more, and return what was held; a flow that goes on is held anew."""
        at = clock.tick_microseconds()
        let_go: list[HeldFlow] = []
        self._change(lambda: self._let_go(let_go, at))
        return let_go

    def attach(self, folder: Path) -> None:
        """Keep the file in this folder of an outbox from now on."""
        at = clock.tick_microseconds()
        self._change(lambda: self._attach(folder / HOLDING, at))

    def detach(self) -> None:
        """Remove the file, before its outbox goes."""
        self._change(self._detach)

    def abandon(self) -> None:
        """Let go, in a forked child, of the parent's file; takes no lock."""
        self._close()

    def note_moment(self) -> None:
        """Note that the process lives, if it holds anything; before what told so is deleted."""
        if self._flows:
            at, ahead = clock.tick_microseconds(), clock.ahead(tuple(self._flows))
            self._change(lambda: self._note_moment(at, ahead))

    def _change(self, change: Callable[[], None]) -> None:
        self._changes.append(change)
        self._settle()

    def _settle(self) -> None:
        while self._changes and not is_owned(self._lock):
            with self._lock:
                while self._changes:
                    try:
                        self._changes[0]()
                    except Exception as error:  # noqa: BLE001  no change may hold up the others
                        pass_interruption(error)
                        self.failure = error
                    # Only now: what was interrupted is done again, which changes nothing.
                    self._changes.popleft()

    # Below, the caller holds the lock, except for `abandon`.

    def _hold(self, held: HeldFlow, key: int, ref: "weakref.ref[Any]") -> None:
        if ref() is None:
            return
        self._holders.setdefault(held.flow_id, {})[key] = ref
        if held.flow_id not in self._flows:
            if self._path is not None and self._descriptor == _CLOSED:
                self._write_anew(held.since)
            self._write(hold_line(held))
            self._flows[held.flow_id] = held

    def _release(self, flow_id: UUID, key: int, at: int) -> None:
        holders = self._holders.get(flow_id)
        if holders is not None:
            holders.pop(key, None)
            if not holders:
                self._forget(flow_id, at)

    def _let_go(self, let_go: list[HeldFlow], at: int) -> None:
        let_go[:] = self._flows.values()
        for flow_id in list(self._flows):
            for holder in _living(self._holders[flow_id]):
                holder.is_held = False
            self._forget(flow_id, at)

    def _forget(self, flow_id: UUID, at: int) -> None:
        if flow_id in self._flows:
            self._write(release_line(flow_id, at))
        self._flows.pop(flow_id, None)
        self._holders.pop(flow_id, None)

    def _attach(self, path: Path, at: int) -> None:
        if self._path != path:
            self._close()
            self._path = path
        if self._flows and self._descriptor == _CLOSED:
            self._write_anew(at)

    def _detach(self) -> None:
        self._close()
        path, self._path = self._path, None
        if path is not None:
            with Suppressed(OSError):
                path.unlink(missing_ok=True)

    def _note_moment(self, at: int, ahead: Mapping[UUID, int]) -> None:
        if not self._flows or self._path is None:
            return
        # Not before it has grown by as much as it takes at least: many flows alone make it long.
        is_long = self._size > max(_LONG_BYTES, 2 * self._whole_size)
        if is_long or self._is_torn or not self._is_in_place():
            self._write_anew(at)
        self._write(moment_line(at, ahead))

    def _is_in_place(self) -> bool:
        with Suppressed(OSError):
            return self._descriptor != _CLOSED and os.fstat(self._descriptor).st_nlink > 0
        return False

    def _write(self, line: bytes) -> None:
        if self._descriptor == _CLOSED:
            return
        try:
            written = os.write(self._descriptor, line)
            self._size += written
            self._is_torn |= written < len(line)
        except OSError as error:
            pass_interruption(error)
            self._is_torn = True

    def _write_anew(self, at: int) -> None:
        """Write the file with what is held now; a kill in between leaves the former one."""
        if self._path is None:
            return
        draft = self._path.with_name(f".{token_hex(4)}")
        data = lines_of(self._flows.values(), at)
        try:
            descriptor = os.open(draft, _NEW, 0o600)
        except OSError as error:
            pass_interruption(error)
            self._is_torn = True
            return
        try:
            is_whole = os.write(descriptor, data) == len(data)
            if is_whole:
                draft.replace(self._path)
        except OSError as error:
            pass_interruption(error)
            is_whole = False
        if not is_whole:
            os.close(descriptor)
            with Suppressed(OSError):
                draft.unlink(missing_ok=True)
            self._is_torn = True
            return
        self._close()
        self._descriptor, self._is_torn = descriptor, False
        self._size = self._whole_size = len(data)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


def _living(refs: "Mapping[int, weakref.ref[Any]]") -> "list[Holder]":
    return [holder for ref in tuple(refs.values()) if (holder := ref()) is not None]


class ProcessHoldings:
    """What this process holds, which is nothing in a child that was just forked."""

    def __init__(self) -> None:
        self.now = Holdings()
        #: The senders that this process has found dead, whose last signs are to be removed.
        self.dead: deque[str] = deque()
        #: What gives signs of what is held; whoever delivers for this process sets it.
        self.begin: Callable[[], None] = _do_nothing

    def renew(self) -> None:
        """Begin anew, in a forked child."""
        self.now.abandon()
        self.now, self.dead = Holdings(), deque()


def _do_nothing() -> None:
    """Nobody delivers yet."""


#: This process's.
process_holdings = ProcessHoldings()
