"""The broker of CELERY_BROKER_URL, and the dead letters on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kombu import Connection

from masterflow.tasks import queues
from masterflow.tasks.dead_letters.letters import DeadLetters
from masterflow.tasks.settings import QueueSettings, WorkerSettings

_ANSWER_TIMEOUT_S: Final = 5


@contextmanager
def dead_letters() -> Iterator[DeadLetters]:
    """Give them; what is asked of them raises BrokerUnavailable while the broker is away."""
    max_letters = WorkerSettings().max_dead_letters
    with broker_connection() as connection:
        yield DeadLetters(connection, max_letters=max_letters)


@contextmanager
def broker_connection() -> Iterator[Connection]:
    """Give a connection that connects when it is used, and waits no longer than 5 s for an answer."""
    with queues.broker_connection(QueueSettings(), timeout_s=_ANSWER_TIMEOUT_S) as connection:
        yield connection
