"""Processes that end with whoever started them."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from masterflow.scripts.supervise.supervisor import descendants, send

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_AFTER_GRACE_S = 10.0


class SupervisedProcess:
    """A running command that ends, with all it started, when it is stopped or this process is gone.

    `pid` is the command's own, not the supervisor's. `user` is a numeric (uid, gid) to run as. Output
    goes to the end of `log`, or where this process's own goes. `keep_open` names descriptors the
    command inherits.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        log: Path | None = None,
        user: tuple[int, int] | None = None,
        stop_signal: int = signal.SIGTERM,
        grace_s: float = 10.0,
        keep_open: Sequence[int] = (),
    ) -> None:
        options = [f"--stop-signal={int(stop_signal)}", f"--grace-s={grace_s}"]
        if user is not None:
            options.append(f"--user={user[0]}:{user[1]}")
        self._grace_s = grace_s
        self._held, far_end = socket.socketpair()
        with far_end, log.open("ab") if log is not None else contextlib.nullcontext() as output:
            self._supervisor: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-I", "-S", _SUPERVISOR, *options, *command],
                stdin=far_end.fileno(),
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                start_new_session=True,
                env=env,
                cwd=folder,
                pass_fds=keep_open,
            )
        with self._held.makefile("r", encoding="ascii") as reader:
            self.pid = int(reader.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether the command, or something it left behind, still is there."""
        return self._supervisor.poll() is None

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until nothing is left of the command; return its exit code, 128 + n if signal n ended it."""
        exit_code = self._supervisor.wait(timeout_s)
        self._held.close()
        return exit_code

    def stop(self) -> int:
        """Ask the command to end, kill it after its grace, and return its exit code."""
        with contextlib.suppress(OSError):
            self._held.shutdown(socket.SHUT_RDWR)
        return self.wait(self._grace_s + _AFTER_GRACE_S)

    def signal(self, signal_number: int) -> None:
        """Signal the command's first process, if it still is there."""
        if self.is_running:
            send([self.pid], signal_number)

    def signal_all(self, signal_number: int) -> None:
        """Signal the command and all that it started, if something still is there."""
        if self.is_running:
            send(descendants(self._supervisor.pid), signal_number)

    def kill(self) -> None:
        """Kill the command and all that it started at once, as a lack of memory would."""
        self.signal_all(signal.SIGKILL)
        self.wait(_AFTER_GRACE_S)

    def pause(self) -> None:
        """Let every process of the command hang until `resume`."""
        self.signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the paused processes go on."""
        self.signal_all(signal.SIGCONT)
