"""Celery's consumer, which keeps as dead letters what Celery would log and drop."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu import Message

from masterflow.domain.errors import InputInvalid, PermanentError, SignatureInvalid
from masterflow.repository.settings import DatabaseSettings, RedisSettings
from masterflow.tasks.celery.fairness import Fairness
from masterflow.tasks.celery.places import Places
from masterflow.tasks.celery.runs import Runs
from masterflow.tasks.celery.turns import Turns
from masterflow.tasks.counters import Counters
from masterflow.tasks.dead_letters.letters import DeadLetters, letter_about
from masterflow.tasks.enqueue import BrokerUnavailable, QueueSettings, redis_client
from masterflow.tasks.inbox.admission import MessageUnreadable, TaskUnknown, refused_message
from masterflow.tasks.inbox.envelope import check_envelope, excerpt, has_expired, limit_unpacking
from masterflow.tasks.queues import APPLY_CHUNK
from masterflow.tasks.settings import WorkerSettings

# What Celery raises over headers that no Celery writes.
_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)

# No queue of ours has a use for tasks that wait, for which Celery declares 56 more on RabbitMQ.
_UNUSED_STEP: Final = "celery.worker.consumer.delayed_delivery:DelayedDelivery"

_CELERYS_OWN: Final = "celery."

_logger = logging.getLogger(__name__)


def _warn_of_what_is_open() -> None:
    """Say once, at the start, what others can do here that no key keeps them from."""
    if not QueueSettings().signing_keys:
        _logger.warning(
            "ENRICHMENT_SIGNING_KEYS holds no key, so this worker applies what anybody puts into the queue:"
            " whoever reaches the broker can change any flow. `flowctl security keygen` makes a key."
        )
    if WorkerSettings().remote_control:
        _logger.warning(
            "ENRICHMENT_REMOTE_CONTROL is on, so whoever reaches the broker can end this worker, change what"
            " it takes and read its configuration."
        )


class Consumer(CeleryConsumer):
    """Hands each task to the pool, and keeps whatever is none; nothing that comes can end the worker."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc,valid-type]  # a class, but not in its stub
        """Celery's steps and one of ours."""

        default_steps: ClassVar[list[str]] = [
            *(step for step in CeleryConsumer.Blueprint.default_steps if step != _UNUSED_STEP),
            "masterflow.tasks.celery.upkeep:Upkeep",
        ]

    def __init__(self, *args: Any, **options: Any) -> None:
        """Start only with the settings that the children will need."""
        DatabaseSettings()
        RedisSettings()
        limit_unpacking()
        _warn_of_what_is_open()
        self.fairness = Fairness()
        #: Messages that have come since the start, whatever they were.
        self.received = 0
        # Other workers have nothing to tell this one: whoever writes to the broker could answer for them.
        worker_options = options.get("worker_options") or {}
        options["worker_options"] = {**worker_options, "without_gossip": True, "without_mingle": True}
        self._settings = QueueSettings()
        self._redis = redis_client(self._settings)
        self._runs = Runs(self._settings.worker_keys)
        #: What the upkeep, which is made next, and the consumer put right.
        self.places = Places.of(self._settings)
        super().__init__(*args, **options)
        controller: Any = self.controller  # type: ignore[attr-defined]
        self._turns = Turns(controller)
        # Other pools than that of processes take whatever comes, and nothing waits here.
        if vars(self)["on_task_request"] == controller._process_task_sem:  # noqa: SLF001
            self.on_task_request = self._turns.take
        self._connection_errors: tuple[type[Exception], ...] = self.connection_errors  # type: ignore[attr-defined]
        self._counters = Counters()
        self._dead_letters = DeadLetters(
            self.app.connection_for_write(), max_letters=WorkerSettings().max_dead_letters
        )

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Message], None]:
        """Return what is called with each message."""
        receive: Callable[[Message], None] = super().create_task_handler(*arguments, **options)

        def receive_task(message: Message) -> None:
            self.received += 1
            try:
                if self._is_due(message):
                    receive(message)
                    self.fairness.note(self, message.headers["task"])
                else:
                    message.ack_log_error(_logger, self._connection_errors)
            except PermanentError as error:
                self._refuse(message, error)
            except _MALFORMED as error:
                if message.acknowledged:
                    raise
                self._refuse(message, InputInvalid(f"The message has malformed headers: {error!r:.200}."))

        return receive_task

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Put right what keeps it from connecting: until it has connected, no upkeep runs."""
        super().on_connection_error_before_connected(exc)
        self.places.put_right_after(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Put right what may have cost it the connection, and would again."""
        super().on_connection_error_after_connected(exc)
        self.places.put_right_after(exc)

    def on_close(self) -> None:
        """Forget what waits, as Celery does."""
        self._turns.clear()
        super().on_close()

    def _is_due(self, message: Message) -> bool:
        """Accept a call of a task of ours, and count a periodic one that comes too late or once more.

        Raises:
            TaskUnknown: it is for a task of Celery's own; `check_envelope` raises what else it may be.
            InputInvalid: it has arguments that no call takes. What else a periodic one may be, `Runs` says.
        """
        name = (message.headers or {}).get("task")
        is_periodic = name in {entry["task"] for entry in self.app.conf.beat_schedule.values()}
        check_envelope(message, may_expire=is_periodic)
        if str(name).startswith(_CELERYS_OWN):
            # Which would call tasks, or send them, with what no one has checked.
            raise TaskUnknown(f"Tasks of Celery itself, such as {name!r:.100}, are not run here.")
        args, kwargs, _ = message.payload
        if name == APPLY_CHUNK and args:
            # Python would refuse to call it, and Celery log that and let the message go.
            raise InputInvalid(f"{name} takes no such arguments.")
        comes_back = bool((message.delivery_info or {}).get("redelivered"))
        is_due = not is_periodic or self._runs.take(
            str(name), args, kwargs, comes_back=comes_back, now=datetime.now(UTC)
        )
        if not is_due:
            self._counters.add("repeated")
            self._counters.flush(self._redis)
        elif has_expired(message.headers):
            self._counters.add("expired")
            self._counters.flush(self._redis)
        return is_due

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002
        """Keep a message for a task that does not exist."""
        self._refuse(message, TaskUnknown(f"No task is called {message.headers['task']!r:.100}."))

    def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:  # noqa: ARG002
        """Keep a message that breaks Celery's protocol."""
        self._refuse(message, InputInvalid(f"The message is no Celery task: {exc!s:.200}."))

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep a message that cannot be decoded."""
        unreadable = MessageUnreadable(f"The message is no JSON: {exc!s:.200}.")
        self._refuse(message, exc if isinstance(exc, PermanentError) else unreadable)

    def _refuse(self, message: Message, error: PermanentError) -> None:
        """Keep a message among the dead letters, then acknowledge it.

        Raises:
            ConnectionError: it could not be kept; the worker connects again, and the message comes again.
        """
        message_id = str((message.headers or {}).get("id"))[:100]
        admission = refused_message(message_id, excerpt(message), error)
        letter = letter_about(admission.refusals[0], admission, self._settings)
        _logger.error("Message %s is set aside: %s", message_id, letter.error)
        try:
            dropped = self._dead_letters.put([letter], is_vouched_for=False)
        except BrokerUnavailable as unavailable:
            raise ConnectionError(str(unavailable)) from unavailable
        message.ack_log_error(_logger, self._connection_errors)
        self._counters.add(f"dead:{letter.reason}")
        # Nothing else proves itself to the consumer.
        self._counters.add("forged:run", isinstance(error, SignatureInvalid))
        self._counters.add("dead_dropped", dropped)
        self._counters.flush(self._redis)
