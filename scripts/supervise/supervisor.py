"""Supervise a command: it, and all it started, end when the supervisor's standard input closes.

    supervisor.py [--user UID:GID] [--stop-signal NUMBER] [--grace-s SECONDS] COMMAND [ARGUMENT...]

Whoever starts a supervisor holds the other end of its standard input, so the command cannot outlive
its holder, not even one that was killed. A holder that passes a socket reads the command's pid
from it. Standard library only, and little of it: everything waits for this to start (20 ms).
"""

import argparse
import contextlib
import ctypes
import math
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

_HOLDER = 0
_PARENT_DEATH_SIGNAL = 1
_CHILD_SUBREAPER = 36
_LEFTOVERS_GRACE_S = 5.0
_CAUGHT = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def children(pid: int) -> list[int]:
    """Return the pids of a process's children; none where the kernel does not tell."""
    try:
        listing = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in listing.split()]


def descendants(pid: int) -> list[int]:
    """Return the pids of everything below a process, parents first."""
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]


def send(pids: list[int], signal_number: int) -> None:
    """Signal processes, those of them that still are there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number)


class Supervisor:
    """A running command in a session of its own; the orphans it leaves become the supervisor's children."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._signals = _signal_numbers()
        self._exit_code: int | None = None
        _prctl(_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
        supervisor = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _become(options, supervisor)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
        _announce(self._pid)

    def hold(self) -> int:
        """Wait until the command has ended or has to, leave nothing of it, and return its exit code."""
        self._wait_until(self._has_ended, math.inf, while_held=True)
        if not self._has_ended():
            self._ask(self._options.stop_signal)
            send(self._family(), signal.SIGCONT)
            self._wait_until(self._has_ended, self._options.grace_s)
        if self._has_ended():
            send(self._family(), signal.SIGTERM)
            self._wait_until(lambda: not self._family(), _LEFTOVERS_GRACE_S)
        while family := self._family():
            send(family, signal.SIGKILL)
            self._wait_until(lambda: not self._family(), 0.1)
        return 128 + signal.SIGKILL if self._exit_code is None else self._exit_code

    def _ask(self, signal_number: int) -> None:
        # From a terminal too, an interrupt reaches the whole group and everything else one process.
        send([-self._pid if signal_number == signal.SIGINT else self._pid], signal_number)

    def _has_ended(self) -> bool:
        return self._exit_code is not None

    def _family(self) -> list[int]:
        return descendants(os.getpid()) or ([] if self._has_ended() else [self._pid])

    def _wait_until(self, done: Callable[[], bool], timeout_s: float, *, while_held: bool = False) -> None:
        deadline = time.monotonic() + timeout_s
        watched = [self._signals, _HOLDER] if while_held else [self._signals]
        while not done() and (left_s := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(watched, [], [], None if left_s == math.inf else left_s)
            let_go = _HOLDER in ready and _holder_is_gone()
            if self._signals in ready:
                let_go |= self._handle_signals()
            if let_go and while_held:
                return

    def _handle_signals(self) -> bool:
        """Reap, pass an interrupt on, and tell whether the supervisor itself was asked to end."""
        numbers = os.read(self._signals, 4096)
        if signal.SIGINT in numbers and not self._has_ended():
            self._ask(signal.SIGINT)
        with contextlib.suppress(ChildProcessError):
            while (reaped := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if reaped[0] == self._pid:
                    code = os.waitstatus_to_exitcode(reaped[1])
                    self._exit_code = code if code >= 0 else 128 - code
        return signal.SIGTERM in numbers or signal.SIGHUP in numbers


def _signal_numbers() -> int:
    """Return a descriptor from which the numbers of caught signals are read."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in _CAUGHT:
        signal.signal(number, lambda *_: None)
    return readable


def _holder_is_gone() -> bool:
    try:
        return not os.read(_HOLDER, 4096)
    except OSError:
        return True


def _announce(pid: int) -> None:
    if stat.S_ISSOCK(os.fstat(_HOLDER).st_mode):
        with contextlib.suppress(BrokenPipeError):
            os.write(_HOLDER, f"{pid}\n".encode())


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _become(options: argparse.Namespace, supervisor: int) -> None:
    """Turn this forked process into the command; it dies with the supervisor, should that be killed."""
    try:
        os.setsid()
        for number in (*_CAUGHT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
        os.dup2(os.open(os.devnull, os.O_RDONLY), _HOLDER)
        if options.user:
            uid, gid = map(int, options.user.split(":"))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(128 + signal.SIGKILL)
        os.execvp(options.command[0], options.command)
    except OSError as error:
        sys.stderr.write(f"Cannot run {options.command[0]}: {error.strerror}.\n")
        sys.stderr.flush()
        os._exit(127)


def main() -> int:
    """Hold the command that the arguments name; return its exit code (128 + signal if one ended it)."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--user")
    parser.add_argument("--stop-signal", type=int, default=signal.SIGTERM)
    parser.add_argument("--grace-s", type=float, default=10.0)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("a command is missing")
    return Supervisor(options).hold()


if __name__ == "__main__":
    sys.exit(main())
