"""How often somebody may ask: a bucket of tokens for each, in this process."""

import time
from collections import OrderedDict
from typing import Final

from masterflow.domain import TransientError

_BURST_S: Final = 4.0
_MOST_BUCKETS: Final = 10_000


class TooManyRequests(TransientError):
    """Somebody asks more often than they may."""

    reason = "too_many_requests"


class RateLimit:
    """Lets each name through so many times per second, and four seconds' worth at once."""

    def __init__(self, rate_per_s: float) -> None:
        self._rate = rate_per_s
        self._burst = max(1.0, rate_per_s * _BURST_S)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> None:
        """Count one request.

        Raises:
            TooManyRequests: it is one too many.
        """
        now = time.monotonic()
        left, at = self._buckets.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        self._buckets[name] = (max(0.0, left - 1), now)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if left < 1:
            raise TooManyRequests("You ask too often; wait a moment.")
