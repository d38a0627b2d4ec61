"""Folders that concurrent test processes do not share, used again and again."""

import fcntl
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SLOTS = Path(__file__).parents[3] / ".local" / "tests"


@contextmanager
def free_slot() -> Iterator[Path]:
    """Give the first of .local/tests/0, 1, 2, ... that no other process holds."""
    for number in itertools.count():
        folder = _SLOTS / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for left_by_a_killed_run in folder.glob("*-*"):
                shutil.rmtree(left_by_a_killed_run, ignore_errors=True)
            yield folder
            return
