"""Which events Flower believes: those that workers send, whole and of a size, and nothing else.

Anybody at the broker can send it others. One of a megabyte that unpacks to a gigabyte took 6.8 GB and was
written to its log whole; one name with a lone surrogate ended `/metrics` for good, one time that is a text
the list of tasks; each that is no event at all costs it a second in which it hears nothing.
"""

import logging
import time
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from celery.events.receiver import EventReceiver
from kombu import Message
from pydantic_core import from_json

_KINDS: Final = frozenset(
    f"{what}-{word}"
    for what, words in {
        "task": "sent received started succeeded failed rejected revoked retried cancelled",
        "worker": "online heartbeat offline",
    }.items()
    for word in words.split()
)
_NAMES: Final = ("type", "hostname", "uuid", "name")
_NUMBERS: Final = frozenset(
    (
        *("active", "clock", "freq", "local_received", "pid"),
        *("processed", "retries", "runtime", "timestamp", "utcoffset"),
    )
)

#: Workers send at most two dozen events at once, whose texts are cut.
MOST_BYTES: Final = 500_000
_MOST_EVENTS: Final = 200
_MOST_FIELDS: Final = 50
_LONGEST_NAME: Final = 255
_LONGEST_TEXT: Final = 20_000
_LARGEST: Final = 1e15
_MOST_LOADS: Final = 3

#: Flower counts by them and forgets none.
MOST_KNOWN: Final = 2_000

_QUIET_S: Final = 60.0

_logger = logging.getLogger(__name__)


class StrictReceiver(EventReceiver):
    """Looks at each message before it is decoded, and at each event before it is shown."""

    # Celery's, which its stub does not know.
    queue: Any
    accept: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._known: set[str] = set()
        self._ignored = 0
        self._warned_at = -_QUIET_S

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:  # noqa: ARG002  as kombu calls it
        """Return what takes messages as they came."""
        return [consumer(queues=[self.queue], on_message=self.take, no_ack=True, accept=self.accept)]

    def take(self, message: Message) -> None:
        """Hand on the events of a message, and ignore all else."""
        events = events_of(message)
        for event in events or ():
            if self._is_known(event):
                self._receive(event, message)  # type: ignore[attr-defined]  # not in its stub
            else:
                self._ignore()
        if events is None:
            self._ignore()

    def on_decode_error(self, message: Message, exc: Exception) -> None:  # noqa: ARG002  as kombu calls it
        """Ignore what cannot be unpacked; kombu would log all of it."""
        self._ignore()

    def _is_known(self, event: Mapping[str, Any]) -> bool:
        """Return whether there is room for the names in an event."""
        names = {str(event[name]) for name in ("hostname", "name") if event.get(name)} - self._known
        if len(self._known) + len(names) > MOST_KNOWN:
            return False
        self._known |= names
        return True

    def _ignore(self) -> None:
        self._ignored += 1
        if time.monotonic() - self._warned_at >= _QUIET_S:
            self._warned_at = time.monotonic()
            _logger.warning("%s messages so far were no events of workers, and are ignored", self._ignored)


def events_of(message: Message) -> list[dict[str, Any]] | None:
    """Return the events that a message holds; None if it is not such that a worker has sent it."""
    body = message.body or b""
    if len(body) > MOST_BYTES or message.headers.get("compression"):
        return None
    if message.content_type != "application/json" or message.content_encoding not in ("utf-8", "binary"):
        return None
    try:
        found = from_json(body)
    except ValueError:
        return None
    events = found if isinstance(found, list) else [found]
    if len(events) > _MOST_EVENTS or not all(map(_is_event, events)):
        return None
    return events


def _is_event(found: object) -> bool:
    if not isinstance(found, dict) or len(found) > _MOST_FIELDS:
        return False
    if not isinstance(found.get("type"), str) or found["type"] not in _KINDS:
        return False
    if not found.get("hostname") or (found["type"].startswith("task-") and not found.get("uuid")):
        return False
    return all(_fits(name, value) for name, value in found.items())


def _fits(name: str, value: object) -> bool:
    """Return whether a field of this name may hold such a value."""
    if value is None or isinstance(value, bool):
        return name not in _NAMES or value is None
    if isinstance(value, int | float):
        return name not in _NAMES and isfinite(value) and abs(value) <= _LARGEST
    if isinstance(value, str):
        longest = _LONGEST_NAME if name in _NAMES else _LONGEST_TEXT
        return name not in _NUMBERS and len(value) <= longest
    # The load of a machine.
    return (
        name == "loadavg"
        and isinstance(value, list)
        and len(value) <= _MOST_LOADS
        and all(isinstance(one, int | float) for one in value)
    )
