"""A proxy queue on Redis that delivers each message twice, later, and out of order."""

import threading
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis

from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.tasks.queues import ENRICHMENT_QUEUE

_QUEUE: Final = f"{KEY_PREFIX}{ENRICHMENT_QUEUE}"
_MOST_HELD: Final = 40


class Shuffler:
    """Takes messages from one database and puts them into another, between `with` and its end."""

    def __init__(self, source_url: str, destination_url: str, chance: Random) -> None:
        self._source = Redis.from_url(source_url, socket_timeout=5)
        self._destination = Redis.from_url(destination_url, socket_timeout=5)
        self._chance = chance
        self._held: list[bytes] = []
        self._is_halted = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_halted.set()
        self._thread.join()
        self._source.close()
        self._destination.close()

    def _run(self) -> None:
        while not self._is_halted.is_set():
            found: Any = self._source.brpop([_QUEUE], timeout=0.2)
            if found:
                self._held += [found[1]] * 2
            if not found or len(self._held) > self._chance.randrange(_MOST_HELD):
                self._deliver()

    def _deliver(self) -> None:
        self._chance.shuffle(self._held)
        if self._held:
            self._destination.lpush(_QUEUE, *self._held)
        self._held.clear()
