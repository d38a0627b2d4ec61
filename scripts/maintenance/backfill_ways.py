"""The two ways to catch masters up: in this process, or through the queue by all workers."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

from kombu.exceptions import KombuError
from redis import Redis, RedisError

from masterflow.domain import DatabaseUnavailable
from masterflow.domain.redis_keys import backfill_key
from masterflow.repository.backfill.reads import Scope
from masterflow.tasks.backfill.catch_up import SLICE, BackfillOptions, BackfillSummary, catch_up
from masterflow.tasks.backfill.task import Chunk, chunks_of
from masterflow.tasks.delivery.loop import spare_collector
from masterflow.tasks.delivery.merging import Sessions
from masterflow.tasks.enqueue import BrokerUnavailable

#: How long to wait for a Postgres that restarts, or for workers that report nothing.
SILENCE_S: Final = 60.0

_RETRY_INTERVAL_S: Final = 0.5
_LOOK_INTERVAL_S: Final = 0.2

# Flows under way: so many that no worker waits, and few enough to notice soon when none works.
_MOST_UNDER_WAY: Final = 5_000

Pages = AsyncIterator[list[UUID]]


class Way(Protocol):
    """Catches masters up."""

    def summaries(self, pages: Pages) -> AsyncIterator[BackfillSummary]:
        """Catch up the flows of these pages, and yield what was done to them until all are."""
        ...


class Direct:
    """Does it here, one transaction after the other; it needs no broker."""

    def __init__(self, sessions: Sessions, scope: Scope, options: BackfillOptions) -> None:
        self._sessions = sessions
        self._scope = scope
        self._options = options
        spare_collector()

    async def summaries(self, pages: Pages) -> AsyncIterator[BackfillSummary]:
        """Catch up these flows; a Postgres that restarts is waited for."""
        async for flow_ids in pages:
            for start in range(0, len(flow_ids), SLICE):
                await asyncio.sleep(0)  # An interruption that came within the slice before takes effect.
                yield await self._retried(flow_ids[start : start + SLICE])

    async def _retried(self, flow_ids: Sequence[UUID]) -> BackfillSummary:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SILENCE_S
        while True:
            try:
                return await _finished(catch_up(self._sessions, flow_ids, self._scope, self._options))
            except DatabaseUnavailable:
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(_RETRY_INTERVAL_S)


async def _finished(work: Coroutine[Any, Any, BackfillSummary]) -> BackfillSummary:
    """Return what the work returns; if it is interrupted meanwhile, that takes effect before the next one.

    Otherwise what was committed at that moment would be in no summary. A second Ctrl-C does not wait.

    Raises:
        CancelledError: it is interrupted, and nothing was done.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if task.exception() is not None:
            raise
        if interrupted := asyncio.current_task():
            interrupted.uncancel()  # One is one: asyncio counts them to tell a Ctrl-C from the others.
            interrupted.cancel()
        return task.result()


class ThroughQueue:
    """Hands chunks to the workers and listens to what they report."""

    def __init__(self, redis: "Redis", scope: Scope, options: BackfillOptions) -> None:
        self._redis = redis
        self._scope = scope
        self._options = options
        self._run_id = str(uuid4())
        self._heard: set[str] = set()
        self._sent = self._reported = 0

    async def summaries(self, pages: Pages) -> AsyncIterator[BackfillSummary]:
        """Send these flows in chunks, waiting while many are under way, and then for the last ones."""
        async for flow_ids in pages:
            for part in chunks_of(flow_ids):
                self._send(part)
                async for summary in self._listen(most_under_way=_MOST_UNDER_WAY):
                    yield summary
        async for summary in self._listen(most_under_way=0):
            yield summary

    def _send(self, flow_ids: list[UUID]) -> None:
        chunk = Chunk(
            flow_ids=flow_ids,
            client_account_id=self._scope.client_account_id,
            engagement_id=self._scope.engagement_id,
            repair_status=self._options.repair_status,
            report_to=self._run_id,
        )
        try:
            chunk.send()
        except (KombuError, OSError, RedisError) as error:
            raise BrokerUnavailable(f"The broker took no chunk: {error!s:.200}.") from error
        self._sent += len(flow_ids)

    async def _listen(self, *, most_under_way: int) -> AsyncIterator[BackfillSummary]:
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            for summary in self._fresh_summaries():
                heard_at = loop.time()
                self._reported += summary.looked_at
                yield summary
            if self._sent - self._reported <= most_under_way:
                return
            if loop.time() - heard_at > SILENCE_S:
                silence = f"No worker has reported for {SILENCE_S:.0f} s; is one running?"
                raise BrokerUnavailable(silence)
            await asyncio.sleep(_LOOK_INTERVAL_S)

    def _fresh_summaries(self) -> list[BackfillSummary]:
        try:
            fields: Any = self._redis.hgetall(backfill_key(self._run_id))
        except RedisError:
            return []  # it may come back; if not, the silence is noticed
        fresh = {name: text for name, text in fields.items() if name not in self._heard}
        self._heard |= fresh.keys()
        return [BackfillSummary.model_validate(json.loads(text)) for text in fresh.values()]
