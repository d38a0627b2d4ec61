"""What every embedded server does: start, become ready, stop, and fail in all the ways a test wants."""

import fcntl
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from masterflow.domain.errors import EnrichmentError
from masterflow.scripts.supervise.processes import SupervisedProcess

_LOG_TAIL_LINES = 3


class ServerNotReady(EnrichmentError):
    """An embedded server could not be started."""

    reason = "server_not_ready"


class EmbeddedServer(ABC):
    """A supervised server; its folder keeps its data and its log, and belongs to one server at a time."""

    name: ClassVar[str]
    start_timeout_s: ClassVar[float] = 30.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / "server.log"
        self._process: SupervisedProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    @abstractmethod
    def _launch(self, lock: int) -> SupervisedProcess:
        """Start the server in its folder; it inherits the lock."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Tell whether it answers."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's first process."""
        return self._running.pid

    def start(self) -> None:
        """Start the server on the data that its folder holds, and wait until it answers.

        Raises:
            ServerNotReady: it does not come up, or another one still uses the folder.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._folder_lock() as lock:
                self._process = self._launch(lock)
        except OSError as error:
            raise ServerNotReady(f"{self.name} cannot use {self.folder}: {error}.") from error
        self._wait_until_ready()

    def stop(self) -> None:
        """Shut it down as an operator would; nothing happens if it does not run."""
        if self._process is not None:
            self._process.stop()

    def restart(self) -> None:
        """Stop it and start it again at the same address."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop it and delete all that it keeps."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Kill all its processes at once."""
        self._running.kill()

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing answers."""
        self._running.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._running.resume()

    @property
    def _running(self) -> SupervisedProcess:
        if self._process is None:
            raise ServerNotReady(f"{self.name} was not started.")
        return self._process

    @contextmanager
    def _folder_lock(self) -> Iterator[int]:
        # Every process of a server inherits the lock, so it is free when not one of them is left.
        lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        deadline = time.monotonic() + self.start_timeout_s
        try:
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    raise ServerNotReady(f"Another {self.name} still uses {self.folder}; end it first.")
                time.sleep(0.05)
            yield lock
        finally:
            os.close(lock)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        while not self._is_ready():
            if not self._running.is_running or time.monotonic() > deadline:
                self.stop()
                raise ServerNotReady(f"{self.name} did not start; {self.log} ends with: {self._log_tail()}")
            time.sleep(0.02)

    def _log_tail(self) -> str:
        return " ".join(self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
