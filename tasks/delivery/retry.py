"""How long a task waits for what is away before it gives its message back."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from masterflow.domain.errors import TransientError
from masterflow.tasks.delivery.shutdown import is_stopping

#: With one more attempt of at most ATTEMPT_TIMEOUT_S, below the hard time limit of a task.
PATIENCE_S: Final = 20.0

#: The longest that one attempt may take.
ATTEMPT_TIMEOUT_S: Final = 15.0

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 2.0
_LOOK_INTERVAL_S: Final = 0.2

_logger = logging.getLogger(__name__)

T = TypeVar("T")


class Patience:
    """The time one task has for all its waiting; it ends at once when the worker stops."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._deadline = time.monotonic() + patience_s

    def outlast(self, attempt: Callable[[], T]) -> T:
        """Repeat an attempt, at growing intervals of up to 2 s, until it works.

        Raises:
            TransientError: the time is up, or the worker stops; the message must go back to the broker.
        """
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return attempt()
            except TransientError as error:
                if is_stopping() or time.monotonic() + wait_s > self._deadline:
                    raise
                if wait_s == _FIRST_WAIT_S:
                    _logger.warning("Waiting: %s", error)
            rest(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def rest(seconds: float) -> None:
    """Sleep so long, or until the worker stops."""
    end = time.monotonic() + seconds
    while not is_stopping() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_INTERVAL_S))
