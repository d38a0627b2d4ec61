"""Waiting for what happens elsewhere, with a deadline instead of a guess."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(find: Callable[[], Found], *, timeout_s: float = 10.0, interval_s: float = 0.01) -> Found:
    """Call until the result is true, and return it; fail after the deadline with what there was."""
    deadline = time.monotonic() + timeout_s
    while not (found := find()):
        assert time.monotonic() < deadline, f"still {found!r} after {timeout_s} s"
        time.sleep(interval_s)
    return found
