"""What each role may do in RabbitMQ, and nothing else: patterns of names, as `rabbitmqctl` takes them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from masterflow.tasks.queues import BACKFILL_QUEUE, DEAD_LETTER_QUEUE, ENRICHMENT_QUEUE, EVENTS_EXCHANGE

#: The default exchange, by the name that permissions have for it.
_ANY_QUEUE: Final = "amq.default"
_CELERY_EVENTS: Final = "celeryev"
_RECEIVERS: Final = "celeryev.*"
_QUEUES: Final = (ENRICHMENT_QUEUE, BACKFILL_QUEUE, DEAD_LETTER_QUEUE)


@dataclass(frozen=True, slots=True)
class Permissions:
    """Patterns of the names of queues and exchanges that a user may make, write to and read from."""

    configure: str
    write: str
    read: str


def _pattern(names: Iterable[str]) -> str:
    words = "|".join(re.escape(name).replace(r"\*", ".*") for name in sorted({*names}))
    return f"^({words})$" if words else "^$"


def _permissions(configure: Iterable[str], write: Iterable[str], read: Iterable[str]) -> Permissions:
    return Permissions(_pattern(configure), _pattern(write), _pattern(read))


_MADE: Final = (*_QUEUES, EVENTS_EXCHANGE, _CELERY_EVENTS)

#: By the name of the role; `orchestrator` is for any of them.
AMQP_ROLES: Final[Mapping[str, Permissions]] = {
    "orchestrator": _permissions((), [EVENTS_EXCHANGE], ()),
    "worker": _permissions(_MADE, [*_MADE, _ANY_QUEUE], [*_QUEUES, EVENTS_EXCHANGE]),
    "beat": _permissions((), [_ANY_QUEUE], ()),
    # How long queues are is told to anybody; whoever may read from one may empty it.
    "status": _permissions((), (), ()),
    "flower": _permissions([_CELERY_EVENTS, _RECEIVERS], [_RECEIVERS], [_CELERY_EVENTS, _RECEIVERS]),
    "operator": _permissions(_MADE, [*_MADE, _ANY_QUEUE], [*_QUEUES, EVENTS_EXCHANGE]),
}


def commands(name: str, permissions: Permissions, *, password: str, vhost: str = "/") -> list[list[str]]:
    """Return the commands of `rabbitmqctl` that make a user and limit it."""
    patterns = [permissions.configure, permissions.write, permissions.read]
    return [
        # A password may begin with a dash.
        ["add_user", "--", name, password],
        ["set_permissions", "--vhost", vhost, name, *patterns],
    ]
