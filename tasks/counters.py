"""What the workers count, in one Redis hash that outlives them.

Fields, all sums since the first start: `applied`, `repeated` (events of a batch that was committed
before), `skipped` (by the flag), `parked` (batches), `unconfirmed` (batches), `dead:<reason>`,
`dead_dropped`, `notices:<what>` (`sent`, `failed` tries, `dead`, `dropped`),
`expired` (periodic runs that came too late), `forged:<what>` (what proved nothing:
`message`, `flag`, `parked`, `chunk`, `sign`, `key`, `notice`,
and by `flowctl` `letter`), and per histogram (`merge_seconds`,
`batch_size`, `lag_seconds`) `:sum`, `:count` and `:le:<bound>`, which counts what is at most that and more
than the bound before.
"""

import logging
from collections import Counter
from typing import Any

from redis import Redis, RedisError

from masterflow.domain.redis_keys import COUNTERS_KEY
from masterflow.repository.redis.gauges import HISTOGRAM_BOUNDS, numbers_of

_logger = logging.getLogger(__name__)


class Counters:
    """Numbers on their way to Redis; what could not be written waits for the next time."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()

    def add(self, name: str, amount: float = 1) -> None:
        """Count one number."""
        if amount:
            self._waiting[name] += amount  # type: ignore[assignment]  # Counter adds floats as well

    def observe(self, name: str, value: float, times: int = 1) -> None:
        """Count a value of a histogram."""
        bound = next((bound for bound in HISTOGRAM_BOUNDS[name] if value <= bound), "inf")
        self.add(f"{name}:sum", value * times)
        self.add(f"{name}:count", times)
        self.add(f"{name}:le:{bound}", times)

    def write(self, pipeline: Any) -> None:
        """Send the numbers along with a Redis pipeline; call `written` once it is through."""
        for name, amount in self._waiting.items():
            pipeline.hincrbyfloat(COUNTERS_KEY, name, amount)

    def written(self) -> None:
        """Forget what has reached Redis."""
        self._waiting.clear()

    def flush(self, redis: "Redis") -> None:
        """Write the numbers now; a failure keeps them and is only logged."""
        pipeline = redis.pipeline(transaction=False)
        self.write(pipeline)
        try:
            pipeline.execute()
        except RedisError as error:
            _logger.warning("The counters wait for Redis: %s", error)
        else:
            self.written()


def read_counters(redis: "Redis") -> dict[str, float]:
    """Return every counter by its field name; one that never counted is absent."""
    fields: Any = redis.hgetall(COUNTERS_KEY)
    return numbers_of(fields)
