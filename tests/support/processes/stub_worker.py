"""A worker that only takes batches off a Redis queue, notes them and confirms them."""

import base64
import json
import threading
from types import TracebackType
from typing import Any, Self

import redis
from kombu.compression import decompress

from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.domain.signing.signer import Signer
from masterflow.tasks.batch import Batch
from masterflow.tasks.confirmations import write_confirmation
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from masterflow.tasks.settings import QueueSettings


class StubWorker:
    """Works from `with` on; `confirms` may be changed at any time."""

    def __init__(self, redis_url: str, *, confirms: bool = True) -> None:
        self.confirms = confirms
        self.batches: list[Batch] = []
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=5)
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
        self._redis.close()

    @property
    def event_ids(self) -> list[str]:
        """The ids of all events received, repeated ones included."""
        return [event["event_id"] for batch in list(self.batches) for event in json.loads(batch.events)]

    def confirm(self, batch: Batch) -> None:
        signer = Signer(QueueSettings().keys_of(batch.client_account_id), batch.key_id)
        write_confirmation(self._redis, batch, signer, counts={"applied": 1})

    def _run(self) -> None:
        while not self._is_halted.is_set():
            try:
                found: Any = self._redis.brpop([f"{KEY_PREFIX}{ENRICHMENT_QUEUE}"], timeout=0.1)
            except (redis.ConnectionError, redis.TimeoutError):
                self._is_halted.wait(0.05)
                continue
            if found:
                self._take(json.loads(found[1]))

    def _take(self, message: dict[str, Any]) -> None:
        body = base64.b64decode(message["body"])
        if compression := message["headers"].get("compression"):
            body = decompress(body, compression)
        batch = Batch(**json.loads(body)[1])
        self.batches.append(batch)
        if self.confirms:
            self.confirm(batch)
