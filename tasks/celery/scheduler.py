"""The scheduler that beat runs."""

import copy
import logging
from typing import Any

from celery import beat
from redis import RedisError

from masterflow.tasks.celery.runs import signed_run
from masterflow.tasks.enqueue import QueueSettings, redis_client
from masterflow.tasks.heartbeats import BEAT, write_heartbeat

_logger = logging.getLogger(__name__)


class Scheduler(beat.Scheduler):
    """Celery's scheduler without a file, which shows at every tick that it lives, and signs what it sends."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        settings = QueueSettings()
        self._redis = redis_client(settings)
        self._keys = settings.worker_keys

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due; return the seconds until the next tick."""
        try:
            write_heartbeat(self._redis, BEAT)
        except RedisError as error:
            _logger.warning("Redis does not take beat's sign of life: %s", error)
        wait_s: float = super().tick(*args, **options)
        return wait_s

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:  # noqa: FBT001, FBT002  as Celery calls it
        """Send a task that is due, with a proof of this moment."""
        # What the schedule keeps bears none: it would be sent again with the next one.
        due: Any = copy.copy(self.reserve(entry) if advance else entry)
        due.kwargs = signed_run(due.task, self._keys, valid_s=due.options["expires"])
        return super().apply_async(due, producer=producer, advance=False, **options)
