"""Whether this worker is stopping, as all its processes can see."""

import mmap
from typing import Any

from celery import signals

# One byte shared by the worker and the children it forks. It needs no lock, so a child that is
# killed while it looks cannot leave one behind.
_flag = mmap.mmap(-1, 1)


def is_stopping() -> bool:
    """Return whether the worker was told to finish what it holds and end."""
    return _flag[0] == 1


@signals.worker_shutting_down.connect
def _raise_flag(**_: Any) -> None:
    _flag[0] = 1
