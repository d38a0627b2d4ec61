"""More flows while the demo runs: for Enter in its terminal, or for `./scripts/demo --another` elsewhere."""

import fcntl
import os
import select
import sys
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

from masterflow.domain import EnrichmentError

_LOCK: Final = "lock"
_ASKED: Final = "another"
_READ_BYTES: Final = 4_096


class NoDemoRuns(EnrichmentError):
    """Nobody is there to begin another flow."""


class Encores:
    """What people ask of the demo of a folder while it stays."""

    def __init__(self, folder: Path) -> None:
        """Forget what was asked of a demo before."""
        self._asked = folder / _ASKED
        self._asked.mkdir(exist_ok=True)
        self._take()
        self._terminal: int | None = sys.stdin.fileno() if sys.stdin.isatty() else None

    def wait(self, timeout_s: float) -> int:
        """Wait so long at most, and return how many flows are asked for."""
        return self._pressed(timeout_s) + self._take()

    def _pressed(self, timeout_s: float) -> int:
        # In the background, what is typed is somebody else's, and reading it would stop this process.
        if self._terminal is None or _is_elsewhere(self._terminal):
            time.sleep(timeout_s)
            return 0
        if not select.select([self._terminal], [], [], timeout_s)[0]:
            return 0
        typed = os.read(self._terminal, _READ_BYTES)
        if not typed:
            self._terminal = None
        # Who leans on the key wants one flow.
        return int(b"\n" in typed)

    def _take(self) -> int:
        asked = list(self._asked.iterdir())
        for path in asked:
            path.unlink()
        return len(asked)


def ask_for_another(folder: Path) -> None:
    """Let the demo of a folder begin another flow, in the second that follows.

    Raises:
        NoDemoRuns: there is none.
    """
    if not _is_held(folder / _LOCK):
        raise NoDemoRuns(
            f"No demo runs in {folder}; start one with ./scripts/demo, which stays on a terminal."
        )
    (folder / _ASKED).mkdir(exist_ok=True)
    (folder / _ASKED / uuid4().hex).touch()


def _is_elsewhere(terminal: int) -> bool:
    """Return whether this process is in the background of its terminal."""
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:
        # No shell shares a terminal that does not control this process.
        return False


def _is_held(lock: Path) -> bool:
    if not lock.is_file():
        return False
    with lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
