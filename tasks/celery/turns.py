"""Whose turn it is when a child is free: of batches it takes several at once, if several wait.

A row costs about the same whether one message is merged into it or many, so a backlog is worked off with a
transaction for many messages. Each is acknowledged, given back and set aside as if it had come alone.
"""

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from celery.app import trace

from masterflow.tasks.inbox.envelope import COMPANIONS
from masterflow.tasks.queues import APPLY_EVENTS

#: What a child takes at once, at most.
MAX_MESSAGES: Final = 32
_MOST_BYTES: Final = 4_000_000

# Of work, at the pace of the group that has ended last: a third of the time limit of a task, and less than
# the time after which senders send again.
_LONGEST_S: Final = 20.0


class Turns:
    """The requests that wait for a child of a worker; belongs to its consumer's thread."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self._batches: deque[Any] = deque()
        self._others: deque[Any] = deque()
        self._was_batch = False
        self._most = 1

    def take(self, request: Any) -> None:
        """Hand a request to a child as soon as one is free."""
        (self._batches if request.type == APPLY_EVENTS else self._others).append(request)
        # It calls for each request once, when a child is free; whose turn it is then is our matter.
        self._controller._quick_acquire(self._next)  # noqa: SLF001  as Celery's own handler does

    def clear(self) -> None:
        """Forget what waits: the connection is lost, and it comes again."""
        self._batches.clear()
        self._others.clear()

    def _next(self) -> None:
        """Hand something to the free child; where both kinds wait, they take turns."""
        if self._batches and not (self._others and self._was_batch):
            self._was_batch = True
            self._execute(self._group())
        elif self._others:
            self._was_batch = False
            self._controller._process_task(self._others.popleft())  # noqa: SLF001  as Celery's own handler does
        else:
            # What had this turn has gone along with another.
            self._controller._quick_release()  # noqa: SLF001

    def _group(self) -> list[Any]:
        group = [self._batches.popleft()]
        size = len(group[0].body)
        while self._batches and len(group) < self._most:
            size += len(self._batches[0].body)
            # One that came before may be the one that ended its child.
            if size > _MOST_BYTES or _has_come_before(self._batches[0]) or _has_come_before(group[0]):
                break
            group.append(self._batches.popleft())
        return group

    def _execute(self, group: list[Any]) -> None:
        """Let a child take these requests; whatever becomes of it becomes of each of them."""
        lead = group[0]

        def of_each(name: str) -> Callable[..., None]:
            def call(*args: Any, **options: Any) -> None:
                for request in group:
                    getattr(request, name)(*args, **options)

            return call

        def succeed(outcome: tuple[bool, Any, float], **options: Any) -> None:
            failed, _, runtime_s = outcome
            # A failure says nothing of the pace.
            self._most = (
                1
                if failed
                else max(1, min(MAX_MESSAGES, int(_LONGEST_S * len(group) / max(runtime_s, 0.001))))
            )
            of_each("on_success")(outcome, **options)

        task, app = lead.task, lead.app
        companions = [(request.id, request.args, request.kwargs, request.kwargsrepr) for request in group[1:]]
        result = self._controller.pool.apply_async(
            trace.fast_trace_task if app.use_fast_trace_task else trace.trace_task_ret,
            # Without the third part of the body, which only those who may not write here could use.
            args=(
                lead.type,
                lead.id,
                {**lead.request_dict, COMPANIONS: companions},
                (lead.args, lead.kwargs, None),
                None,
                None,
            ),
            accept_callback=of_each("on_accepted"),
            timeout_callback=of_each("on_timeout"),
            callback=succeed,
            error_callback=of_each("on_failure"),
            soft_timeout=task.soft_time_limit,
            timeout=task.time_limit,
            correlation_id=lead.id,
        )
        if result is not None:  # else the pool is closed, and the messages come again
            for request in group:
                request._apply_result = weakref.ref(result)  # noqa: SLF001  by which Celery ends it


def _has_come_before(request: Any) -> bool:
    return bool((request.delivery_info or {}).get("redelivered"))
