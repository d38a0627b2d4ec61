"""The task that takes a batch of events, and how every task here gives back what it cannot finish."""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from celery import Task
from celery.exceptions import Reject

from masterflow.domain.errors import InputInvalid, TransientError
from masterflow.tasks.app import app
from masterflow.tasks.delivery.delivery import Delivery, Message
from masterflow.tasks.delivery.loop import worker_loop
from masterflow.tasks.delivery.retry import rest
from masterflow.tasks.inbox.admission import Admission, admit_batch, refused_message
from masterflow.tasks.inbox.attempts import Attempt, begin_attempt
from masterflow.tasks.queues import APPLY_EVENTS
from masterflow.tasks.settings import SigningKeys
from masterflow.tasks.shown_arguments import NOTHING

_AFTER_SURPRISE_S: Final = 1.0

_logger = logging.getLogger(__name__)

#: Says which events of a message's keyword arguments may be applied; it raises nothing.
Admit = Callable[[Mapping[str, Any], Attempt, SigningKeys], Admission]


@app.task(name=APPLY_EVENTS, bind=True)
def apply_events(task: "Task[..., None]", *args: Any, **fields: Any) -> None:
    """Apply a batch of events; the keyword arguments are those of `masterflow.tasks.batch.Batch`."""
    deliver(task, args, fields, admit=_admit)


def deliver(task: "Task[..., None]", args: tuple[Any, ...], kwargs: dict[str, Any], *, admit: Admit) -> None:
    """Bring a message into the rows; when this returns, it may be acknowledged.

    All it raises is `Reject`, which gives the message back; Celery would acknowledge any other error.
    """
    request: Any = task.request
    message = Message(str(task.name), str(request.id), kwargs, shown=request.kwargsrepr or NOTHING)
    with _given_back_on_failure():
        loop = worker_loop()
        attempt = begin_attempt(loop.redis, message.message_id, now=datetime.now(UTC))
        if args:
            error = InputInvalid("The task takes keyword arguments only.")
            admission = refused_message(message.message_id, repr(args), error)
        else:
            admission = admit(kwargs, attempt, loop.signing_keys)
        Delivery(loop, message, attempt, admission).run()


def _admit(fields: Mapping[str, Any], attempt: Attempt, keys: SigningKeys) -> Admission:
    return admit_batch(attempt.batch_id, fields, keys, now=datetime.now(UTC))


@contextmanager
def _given_back_on_failure() -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        # What failed attempts leave is cyclic, and a child that mostly waits would collect it only after
        # minutes, when it has become many megabytes.
        gc.collect()
        raise Reject(str(error), requeue=True) from error
    except Exception as error:
        # A mistake of ours. The attempts of the message are counted, so it does not come back for ever.
        _logger.exception("A message goes back to the broker")
        rest(_AFTER_SURPRISE_S)
        raise Reject(repr(error), requeue=True) from error
