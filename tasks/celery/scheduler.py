"""The scheduler that beat runs."""

import logging
from typing import Any

from celery import beat
from redis import RedisError

from masterflow.tasks.enqueue import QueueSettings, redis_client
from masterflow.tasks.heartbeats import BEAT, write_heartbeat

_logger = logging.getLogger(__name__)


class Scheduler(beat.Scheduler):
    """Celery's scheduler without a file, which shows at every tick that it lives."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._redis = redis_client(QueueSettings())

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due; return the seconds until the next tick."""
        try:
            write_heartbeat(self._redis, BEAT)
        except RedisError as error:
            _logger.warning("Redis does not take beat's sign of life: %s", error)
        wait_s: float = super().tick(*args, **options)
        return wait_s
