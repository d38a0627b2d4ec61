"""What a worker does about messages: admit, merge and commit, keep what is refused, confirm, count."""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from celery import Task
from celery.exceptions import Reject

from masterflow.domain.errors import InputInvalid, TransientError
from masterflow.tasks.app import app
from masterflow.tasks.delivery.loop import WorkerLoop, worker_loop
from masterflow.tasks.delivery.message import Message, MessageMerge
from masterflow.tasks.delivery.retry import rest
from masterflow.tasks.delivery.together import run_together
from masterflow.tasks.inbox.admission import Admission, Door, admit_batch, refused_message
from masterflow.tasks.inbox.envelope import COMPANIONS
from masterflow.tasks.queues import APPLY_EVENTS
from masterflow.tasks.shown_arguments import NOTHING

_AFTER_SURPRISE_S: Final = 1.0

_logger = logging.getLogger(__name__)

#: Says which events of a message may be applied, by its id and keyword arguments; it raises nothing.
Admit = Callable[[str, Mapping[str, Any], Door], Admission]
#: The id, the arguments and keyword arguments of a message, and what may be shown of these.
Come = tuple[str, tuple[Any, ...], dict[str, Any], str | None]


@app.task(name=APPLY_EVENTS, bind=True)
def apply_events(task: "Task[..., None]", *args: Any, **fields: Any) -> None:
    """Apply a batch of events; the keyword arguments are those of `masterflow.tasks.batch.Batch`."""
    deliver(task, args, fields, admit=admit_batch)


def deliver(task: "Task[..., None]", args: tuple[Any, ...], kwargs: dict[str, Any], *, admit: Admit) -> None:
    """Bring a message and its companions into the rows; when this returns, they may be acknowledged.

    All it raises is `Reject`, which gives the messages back; Celery would acknowledge any other error.
    """
    request: Any = task.request
    come: list[Come] = [(request.id, args, kwargs, request.kwargsrepr), *(request.get(COMPANIONS) or ())]
    with _given_back_on_failure():
        loop = worker_loop()
        fresh: list[MessageMerge] = []
        firsts, copies = _apart(come)
        try:
            for one in firsts:
                merge = _merge_of(one, str(task.name), admit, loop)
                # What was tried before may be what ended its worker.
                if merge.is_first_attempt:
                    fresh.append(merge)
                else:
                    merge.run()
            run_together(loop, fresh)
            for one in copies:
                _merge_of(one, str(task.name), admit, loop).run()
        finally:
            # What has run has said so itself.
            for merge in fresh:
                merge.give_back()


def _apart(come: Sequence[Come]) -> tuple[list[Come], list[Come]]:
    """Return messages, and copies of these; a copy counts as repeated once the other one is committed."""
    by_batch: dict[str, list[Come]] = {}
    for one in come:
        message_id, _, fields, _ = one
        by_batch.setdefault(str(fields.get("batch_id", message_id)), []).append(one)
    each = by_batch.values()
    return [same[0] for same in each], [copy for same in each for copy in same[1:]]


def _merge_of(one: Come, name: str, admit: Admit, loop: WorkerLoop) -> MessageMerge:
    message_id, args, fields, shown = one
    message = Message(name, str(message_id), fields, shown=shown or NOTHING)
    return MessageMerge(loop, message, _admitted(message, args, admit, loop.door))


def _admitted(message: Message, args: Sequence[Any], admit: Admit, door: Door) -> Admission:
    if args:
        error = InputInvalid("The task takes keyword arguments only.")
        return refused_message(message.message_id, ascii(args), error)
    try:
        return admit(message.message_id, message.kwargs, door)
    except TransientError:
        raise
    except Exception as error:
        # A mistake of ours over what nobody vouches for yet, whose tries are not counted: given back, it
        # would come again for ever.
        _logger.exception("A message cannot be read")
        unread = InputInvalid(f"The message cannot be read: {error!r:.200}.")
        return refused_message(message.message_id, ascii(dict(message.kwargs)), unread)


@contextmanager
def _given_back_on_failure() -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        # What failed attempts leave is cyclic, and a child that mostly waits would collect it only after
        # minutes, when it has become many megabytes.
        gc.collect()
        # Celery logs the cause with all its causes, which for a merge are a thousand lines of SQL.
        raise Reject(str(error), requeue=True) from None
    except Exception as error:
        # A mistake of ours. The attempts of the message are counted, so it does not come back for ever.
        _logger.exception("A message goes back to the broker")
        rest(_AFTER_SURPRISE_S)
        raise Reject(repr(error), requeue=True) from None
