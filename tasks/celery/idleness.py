"""Whether a worker takes nothing although messages wait for it: it lives and answers, but it is stuck."""

import time
from dataclasses import dataclass
from typing import Any, Final

from masterflow.tasks.app import app
from masterflow.tasks.queues import waiting

_ANSWER_TIMEOUT_S: Final = 3

# A worker takes its next message within milliseconds, and within a second on a very busy host.
_GRACE_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class _Look:
    #: Messages that wait in the worker's queues.
    waiting: int
    #: Messages that the worker holds, and those that it has taken since its start.
    held: int
    taken: int

    @property
    def is_suspicious(self) -> bool:
        return self.waiting > 0 and self.held == 0


def takes_nothing(hostname: str) -> bool:
    """Return whether messages wait for a worker and it takes none in three seconds; errors pass."""
    first = _look(hostname)
    if first is None or not first.is_suspicious:
        return False
    time.sleep(_GRACE_S)
    second = _look(hostname)
    return second is not None and second.is_suspicious and second.taken == first.taken


def _look(hostname: str) -> _Look | None:
    """Return what there is to see; None if the worker does not answer."""
    inspect = app.control.inspect([hostname], timeout=_ANSWER_TIMEOUT_S, limit=1)
    questions = (inspect.active_queues, inspect.reserved, inspect.active, inspect.stats)
    answers: list[Any] = [(ask() or {}).get(hostname) for ask in questions]
    if any(answer is None for answer in answers):
        return None
    queues, reserved, active, stats = answers
    with app.connection_for_read() as connection:
        in_queues = sum(waiting(connection, queue["name"]) for queue in queues)
    return _Look(in_queues, len(reserved) + len(active), sum(stats["total"].values()))
