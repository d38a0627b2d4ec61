"""Live events first: while any come, a worker leaves half of its children to them."""

import time
from typing import Any, Final

from celery.worker import state

from masterflow.tasks.queues import APPLY_CHUNK, BACKFILL_QUEUE

# So long after a live message more are expected.
_LIVELY_S: Final = 2.0


class Fairness:
    """Whether a worker takes chunks of a backfill now; belongs to its consumer's thread.

    A chunk keeps a child for a tenth of a second, in which live messages would wait. So while those come,
    the queue of the chunks is left alone as soon as half of the children work at some; and a worker holds
    no more than two for each child at any time.
    """

    def __init__(self) -> None:
        self._lively_until = 0.0

    def note(self, consumer: Any, task_name: str) -> None:
        """Take notice of a message that has come."""
        if task_name == APPLY_CHUNK:
            # Not here: in the middle of reading, a consumer must not ask its broker for something else.
            consumer.call_soon(self.balance, consumer)
        else:
            self._lively_until = time.monotonic() + _LIVELY_S

    def balance(self, consumer: Any) -> None:
        """Begin or cease to take chunks, if it is time to."""
        queues, tasks = consumer.app.amqp.queues, consumer.task_consumer
        if BACKFILL_QUEUE not in queues.consume_from or tasks is None:
            return
        is_taking = tasks.consuming_from(BACKFILL_QUEUE)
        is_enough = self._is_enough(consumer.pool.num_processes)
        if is_taking and is_enough:
            tasks.cancel_by_queue(BACKFILL_QUEUE)
        elif not is_taking and not is_enough:
            tasks.add_queue(queues[BACKFILL_QUEUE])
            tasks.consume()

    def _is_enough(self, children: int) -> bool:
        most = max(1, children // 2) if time.monotonic() < self._lively_until else 2 * children
        chunks: int = sum(request.name == APPLY_CHUNK for request in tuple(state.reserved_requests))
        return chunks >= most
