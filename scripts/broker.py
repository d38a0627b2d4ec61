"""The broker of CELERY_BROKER_URL, and the dead letters on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kombu import Connection

from masterflow.tasks.dead_letters.letters import DeadLetters
from masterflow.tasks.queues import speaks_amqp, transport_options, transport_tls
from masterflow.tasks.settings import QueueSettings, WorkerSettings

_ANSWER_TIMEOUT_S: Final = 5
_WAITS_ON_REDIS: Final = ("socket_timeout", "socket_connect_timeout")
_WAITS_ON_RABBITMQ: Final = ("read_timeout", "write_timeout")


@contextmanager
def dead_letters() -> Iterator[DeadLetters]:
    """Give them; what is asked of them raises BrokerUnavailable while the broker is away."""
    max_letters = WorkerSettings().max_dead_letters
    with broker_connection() as connection:
        yield DeadLetters(connection, max_letters=max_letters)


@contextmanager
def broker_connection() -> Iterator[Connection]:
    """Give a connection that connects when it is used, and waits no longer than 5 s for an answer."""
    settings = QueueSettings()
    url = settings.broker_url
    limited = _WAITS_ON_RABBITMQ if speaks_amqp(url) else _WAITS_ON_REDIS
    waits = dict.fromkeys(limited, _ANSWER_TIMEOUT_S) | {"max_retries": 0}
    with Connection(
        url,
        connect_timeout=_ANSWER_TIMEOUT_S,
        ssl=transport_tls(url) or False,
        transport_options=transport_options(settings) | waits,
    ) as connection:
        yield connection
