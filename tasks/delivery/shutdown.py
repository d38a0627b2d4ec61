"""How a worker stops, and whether it is stopping, as all its processes can see."""

import mmap
import os
import signal
from typing import Any

from celery import platforms, signals

# One byte shared by the worker and the children it forks. It needs no lock, so a child that is
# killed while it looks cannot leave one behind.
_flag = mmap.mmap(-1, 1)


def is_stopping() -> bool:
    """Return whether the worker was told to finish what it holds and end."""
    return _flag[0] == 1


@signals.worker_shutting_down.connect
def _raise_flag(**_: Any) -> None:
    _flag[0] = 1


@signals.worker_ready.connect
def _quit_as_gently_as_terminate(**_: Any) -> None:
    # Celery does its soft shutdown inside the signal's handler: it sleeps for all of its timeout, and if
    # the signal came while a task was being handed to a child, that child waits for the rest for ever
    # (once in 60 stops under load). As no task of ours waits for long, the warm shutdown of SIGTERM is
    # soft enough for SIGQUIT too. The children have handlers of their own.
    platforms.signals["SIGQUIT"] = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
