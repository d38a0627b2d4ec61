"""Whether the broker takes messages, gives back none too early, and is not another application's too."""

from collections.abc import Iterable
from typing import Any, Final

from amqp.exceptions import AMQPError, NotFound, PreconditionFailed
from kombu import Connection
from kombu.exceptions import KombuError
from redis import RedisError
from redis.exceptions import NoPermissionError

from masterflow.domain.addresses import RedisAddress
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.broker import broker_connection
from masterflow.tasks.app import app
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.enqueue import client_of
from masterflow.tasks.queues import all_queues
from masterflow.tasks.settings import QueueSettings

_BINDING: Final = "_kombu.binding."
_UNACKED: Final = "unacked_index"
_MOST_KEYS: Final = 1_000

# What Celery itself binds beside the queues.
_OF_CELERY: Final = ("amq.direct", "celeryev", "celery.pidbox", "reply.celery.pidbox")


def check_broker() -> list[CheckResult]:
    """Return what was found about the broker of CELERY_BROKER_URL."""
    settings = QueueSettings()
    try:
        with broker_connection() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            if settings.broker.redis is None:
                return [CheckResult("broker"), *_quorum(connection, settings.broker_url)]
        found = _sharing(settings.broker.redis, settings)
    except NoPermissionError as error:
        said = f"The broker refuses what a worker does ({error!s:.200})"
        return [
            CheckResult("broker", "problem", said, "give its user the rights that are named beside redis")
        ]
    except (AMQPError, KombuError, OSError, RedisError) as error:
        said = f"The broker does not answer ({error!s:.200})"
        return [CheckResult("broker", "away", said, "start it, or correct CELERY_BROKER_URL")]
    return [
        CheckResult("broker"),
        visibility_result(_visibility_s(), int(app.conf.task_time_limit or 0)),
        *found,
    ]


def visibility_result(visibility_s: float, time_limit_s: float) -> CheckResult:
    """Return whether a message is given to nobody else while a task may still work on it."""
    if time_limit_s and visibility_s > time_limit_s:
        return CheckResult("visibility timeout")
    found = (
        f"The visibility timeout is {visibility_s:.0f} s and a task may take {time_limit_s:.0f} s,"
        " so a slow batch is given to a second worker"
    )
    advice = "let visibility_timeout be twice task_time_limit in celeryconfig.py"
    return CheckResult("visibility timeout", "problem", found, advice)


def _sharing(address: RedisAddress, settings: QueueSettings) -> list[CheckResult]:
    """Return what there is to see; a user who may not search all keys is told so beside the other rights."""
    try:
        return sharing_results(_kombu_keys(address, settings))
    except NoPermissionError:
        return []


def sharing_results(keys: Iterable[str]) -> list[CheckResult]:
    """Return what kombu's keys in our Redis database tell about other applications there."""
    names = sorted(keys)
    ours = [key.removeprefix(KEY_PREFIX) for key in names if key.startswith(KEY_PREFIX)]
    others = [key for key in names if not key.startswith(KEY_PREFIX)]
    strange = sorted({it.removeprefix(_BINDING) for it in ours if it.startswith(_BINDING)} - _known())
    if strange:
        found = (
            f"Another application uses our key prefix (exchange {', '.join(strange[:5])}),"
            " and the shortest visibility timeout of all counts for our messages too"
        )
        advice = "give it another global_keyprefix or another database"
        return [CheckResult("sharing", "problem", found, advice)]
    if others:
        found = f"Another Celery application uses this Redis database ({', '.join(others[:3])})"
        advice = "give it another database, so that a FLUSHDB or its backlog spares ours"
        return [CheckResult("sharing", "note", found, advice)]
    return [CheckResult("sharing")]


def _known() -> set[str]:
    # Celery binds our queues to its default exchange as well when a worker starts.
    return {*_OF_CELERY, "", app.amqp.default_exchange.name}


def _visibility_s() -> float:
    """Return the lowest of the three places where Celery and kombu read it."""
    conf = app.conf
    return float(
        min(
            conf.broker_transport_options.get("visibility_timeout", 3600),
            conf.result_backend_transport_options.get("visibility_timeout", 3600),
            conf.get("visibility_timeout") or 3600,
        )
    )


def _kombu_keys(address: RedisAddress, settings: QueueSettings) -> set[str]:
    found: set[str] = set()
    with client_of(address, settings) as redis:
        for pattern in (f"*{_BINDING}*", f"*{_UNACKED}"):
            for key in redis.scan_iter(match=pattern, count=1_000):
                found.add(key)
                if len(found) >= _MOST_KEYS:
                    return found
    return found


def _quorum(connection: Connection, url: str) -> list[CheckResult]:
    """Return whether RabbitMQ's queues are quorum queues; one that is missing is not made."""
    results = []
    for queue in all_queues(url):
        try:
            _declare(connection, queue)
        except NotFound:
            found = f"The queue {queue.name} is not there yet"
            results.append(CheckResult("queues", "note", found, "start a worker, which makes it"))
        except PreconditionFailed:
            found = f"The queue {queue.name} is no quorum queue, so it can lose messages with its node"
            advice = "empty and delete it, then start a worker, which makes it again"
            results.append(CheckResult("queues", "problem", found, advice))
    return results or [CheckResult("queues")]


def _declare(connection: Connection, queue: Any) -> None:
    # A passive declaration looks at the name alone, an active one would make the queue.
    for is_passive in (True, False):
        channel: Any
        with connection.channel() as channel:
            queue(channel).queue_declare(passive=is_passive)
