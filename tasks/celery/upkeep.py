"""What a worker does besides its tasks: shows its life, sees deaths, frees parked messages, shares time."""

import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

from celery.bootsteps import StartStopStep
from celery.worker import state
from celery.worker.consumer.tasks import Tasks
from kombu.exceptions import KombuError
from redis import RedisError

from masterflow.repository.redis.consumption import Consumption
from masterflow.tasks.celery.idleness import note_consumption
from masterflow.tasks.celery.places import Places
from masterflow.tasks.delivery.parking import release_due
from masterflow.tasks.delivery.retry import is_stopping
from masterflow.tasks.enqueue import BrokerUnavailable, QueueSettings, redis_client
from masterflow.tasks.heartbeats import (
    INTERVAL_S,
    forget_heartbeat,
    forget_silent_outboxes,
    write_heartbeat,
)
from masterflow.tasks.notices.post import Post
from masterflow.tasks.notices.receivers import NoticeSettings
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from masterflow.tasks.shown_arguments import NOTHING
from masterflow.tasks.watch.witness import Witness

_RELEASE_INTERVAL_S: Final = 1.0
_TIDY_INTERVAL_S: Final = 60.0
_BALANCE_INTERVAL_S: Final = 0.05

# These calls hold up the consumer, so a Redis that hangs is left alone for a while.
_PAUSE_S: Final = 5.0

_logger = logging.getLogger(__name__)


class Upkeep(StartStopStep):
    """The timers of the consumer, running while it consumes."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._settings = QueueSettings()
        self._redis = redis_client(self._settings)
        self._places: Places = consumer.places
        self._witness = Witness(self._settings)
        self._post = Post(self._settings, NoticeSettings())
        self._entries: list[Any] = []
        self._resume_at = 0.0
        # Whatever takes one away later, messages in it wait for this worker.
        self._queues = tuple(consumer.app.amqp.queues.consume_from)
        self._seen: tuple[int, frozenset[str]] = (0, frozenset())
        self._moved_at = time.time()

    def start(self, consumer: Any) -> None:
        """Start the timers."""
        self.stop(consumer)
        repeat = consumer.timer.call_repeatedly
        self._entries = [
            repeat(INTERVAL_S, self._show_life, (consumer,)),
            repeat(INTERVAL_S, self._attempt, (self._witness.look,)),
            repeat(_RELEASE_INTERVAL_S, self._release, (consumer,)),
            repeat(_TIDY_INTERVAL_S, self._tidy),
            repeat(_BALANCE_INTERVAL_S, consumer.fairness.balance, (consumer,)),
        ]
        self._post.start()
        self._show_life(consumer)

    def stop(self, consumer: Any) -> None:
        """Stop the timers; a worker that ends says goodbye, and one that only connects again does not."""
        for entry in self._entries:
            consumer.timer.cancel(entry)
        self._entries = []
        if is_stopping():
            self._post.stop()
            self._attempt(lambda: forget_heartbeat(self._redis, consumer.hostname))

    def _show_life(self, consumer: Any) -> None:
        def show() -> None:
            self._places.put_right()
            write_heartbeat(self._redis, consumer.hostname)
            note_consumption(self._redis, consumer.hostname, consumption)

        consumption = self._consumption(consumer)
        self._attempt(show)

    def _consumption(self, consumer: Any) -> Consumption:
        held = frozenset(request.id for request in tuple(state.reserved_requests))
        seen, now = (consumer.received, held), time.time()
        if seen != self._seen:
            self._seen, self._moved_at = seen, now
        return Consumption(now, self._moved_at, len(held), self._queues)

    def _tidy(self) -> None:
        self._attempt(lambda: forget_silent_outboxes(self._redis))

    def _release(self, consumer: Any) -> None:
        def send(message: dict[str, Any]) -> None:
            consumer.app.send_task(
                message["task"],
                kwargs=message["kwargs"],
                task_id=message["message_id"],
                queue=ENRICHMENT_QUEUE,
                argsrepr="()",
                kwargsrepr=message.get("shown", NOTHING),
            )

        keys = self._settings.worker_keys
        self._attempt(lambda: release_due(self._redis, send, keys, now=datetime.now(UTC)))

    def _attempt(self, work: Any) -> None:
        if time.monotonic() < self._resume_at:
            return
        try:
            with self._places.put_right_if_in_the_way():
                work()
        except (BrokerUnavailable, RedisError, KombuError, OSError) as error:
            self._resume_at = time.monotonic() + _PAUSE_S
            _logger.warning("Upkeep waits: %s", error)
