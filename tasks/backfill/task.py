"""The periodic backfill: one task finds the masters that are behind, others catch up a chunk of them each."""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Final, Self
from uuid import UUID, uuid4

from celery import Task
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from redis import RedisError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.errors import SignatureInvalid, TransientError
from masterflow.domain.events import describe
from masterflow.domain.redis_keys import backfill_key
from masterflow.domain.signing.settings import SigningSettings
from masterflow.domain.signing.signatures import Keys, Signature, sign, verify
from masterflow.repository.backfill.reads import Page, Scope, find_behind, lock_backfill
from masterflow.repository.child_tables import unfit_tables
from masterflow.repository.database import translated_errors
from masterflow.tasks.app import app
from masterflow.tasks.backfill.catch_up import SLICE, BackfillOptions, BackfillSummary, catch_up
from masterflow.tasks.delivery.loop import WorkerLoop, worker_loop
from masterflow.tasks.delivery.retry import Retries, is_stopping
from masterflow.tasks.queues import APPLY_CHUNK, BACKFILL_QUEUE, ENRICHMENT_QUEUE, waiting
from masterflow.tasks.settings import BackfillSettings, QueueSettings
from masterflow.tasks.shown_arguments import shown_chunk

RUN: Final = "backfill.run"

#: Flows of one message: about a tenth of a second of work.
CHUNK: Final = 200

#: What operators without keys of their own cannot do where client accounts have some.
NEEDS_WORKER_KEYS: Final = (
    "Batches are signed here, so a backfill that somebody waits for, or that repairs statuses, is too: set"
    " ENRICHMENT_WORKER_KEYS here and for the workers, or pass --direct."
)

#: Why flows are skipped while the flag is off.
SWITCHED_OFF: Final = "enrichment is switched off"

# A run ends before the task's time limit; what it did not find, the next one does.
_LONGEST_SEARCH_S: Final = 30.0
_SEARCH_TIMEOUT_S: Final = 45.0

# With so many live messages waiting, a run does not begin.
_BUSY: Final = 200

_REPORT_KEPT_S: Final = 86_400

_logger = logging.getLogger(__name__)


class Chunk(BaseModel):
    """The keyword arguments of `backfill.apply_chunk`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    chunk_id: UUID = Field(default_factory=uuid4)
    flow_ids: Annotated[list[UUID], Field(min_length=1, max_length=CHUNK)]
    client_account_id: UUID | None = None
    engagement_id: UUID | None = None
    repair_status: bool = False
    #: Who waits for the summary; empty if nobody does.
    report_to: Annotated[str, StringConstraints(max_length=100)] = ""
    #: Microseconds since 1970.
    sent_at: int = 0
    key_id: str | None = None
    signature: str | None = None

    def send(self) -> None:
        """Hand the chunk to the workers, signed with the operators' key if there is one."""
        app.send_task(
            APPLY_CHUNK,
            kwargs=self.signed(QueueSettings().worker_keys).model_dump(mode="json"),
            argsrepr="()",
            kwargsrepr=shown_chunk(len(self.flow_ids)),
        )

    def signed(self, keys: Keys) -> Self:
        """Return it as sent now, with a proof if there is a key."""
        sent = self.model_copy(update={"sent_at": time.time_ns() // 1000})
        if (signature := sign("chunk", sent._fields(), keys)) is None:
            return sent
        return sent.model_copy(update={"key_id": signature.key_id, "signature": signature.value})

    def check(self, settings: SigningSettings, *, now: datetime) -> None:
        """Accept a chunk of the operators; without keys of theirs, any that does no more than a periodic run.

        Raises:
            SignatureInvalid: nobody with a key has sent it, or not of late.
        """
        if settings.worker_keys:
            signature = None if self.key_id is None else Signature(self.key_id, self.signature or "")
            verify("chunk", self._fields(), settings.worker_keys, signature)
            settings.check_age(self.sent_at, now=now)
        elif settings.signing_keys and (self.repair_status or self.report_to):
            raise SignatureInvalid(NEEDS_WORKER_KEYS)

    def _fields(self) -> list[str | int | bytes]:
        tenant = [str(self.client_account_id), str(self.engagement_id)]
        order: list[str | int] = [int(self.repair_status), self.report_to, self.sent_at]
        return [str(self.chunk_id), *tenant, *order, *map(str, self.flow_ids)]


@app.task(name=RUN)
def run(*, proof: object = None) -> None:  # noqa: ARG001  the consumer has verified it
    """Find the masters that are behind their child and hand them to the workers, unless they are busy.

    A run that fails or is killed costs nothing: what is behind is found by the next one.
    """
    loop = worker_loop()
    if not loop.is_enabled() or _is_busy():
        return
    window = timedelta(days=BackfillSettings().window_days)
    scope = Scope(since=datetime.now(UTC) - window)
    try:
        sent = loop.run(lambda sessions: _send_chunks(sessions, scope), timeout_s=_SEARCH_TIMEOUT_S)
    except TransientError as error:
        _logger.warning("The backfill waits for its next run: %s", error)
        return
    _logger.info("The backfill has found %s flows behind their child", sent)


@app.task(name=APPLY_CHUNK, bind=True)
def apply_chunk(task: "Task[..., None]", /, **fields: Any) -> None:
    """Catch up the flows of a chunk; the keyword arguments are those of `Chunk`.

    It gives way to live events. What it cannot do stays behind, and the next run finds it again; whoever
    waits for the summary gets it, also that nothing is done while enrichment is switched off.
    """
    try:
        chunk = Chunk.model_validate(fields)
    except ValidationError as error:
        _logger.error("Task %s is dropped: %s", task.request.id, describe(error))  # noqa: TRY400  no trace
        return
    loop = worker_loop()
    try:
        chunk.check(loop.queue, now=datetime.now(UTC))
    except SignatureInvalid as error:
        _logger.error("A chunk of a backfill is dropped: %s", error)  # noqa: TRY400  no trace
        loop.counters.add("forged:chunk")
        loop.counters.flush(loop.redis)
        return
    _hand_in(loop, chunk, _work_off(loop, chunk) if loop.is_enabled() else _left_alone(chunk))


def chunks_of(flow_ids: Sequence[UUID]) -> Iterator[list[UUID]]:
    """Yield the ids in chunks."""
    rest = iter(flow_ids)
    while part := list(islice(rest, CHUNK)):
        yield part


async def _send_chunks(sessions: async_sessionmaker[AsyncSession], scope: Scope) -> int:
    """Send what is behind, newest first; return how many flows that are, 0 if another run is going on."""
    sent, place, started = 0, None, time.monotonic()
    # The lock lasts as long as the transaction, which reads each page with a snapshot of its own.
    async with translated_errors(), sessions.begin() as session:
        if not await lock_backfill(session):
            return 0
        for table, cause in (await unfit_tables(session)).items():
            _logger.warning("The rows of %s are left alone: %s", table, cause)
        while True:
            page = await find_behind(session, scope, after=place)
            for flow_ids in chunks_of(page.behind):
                Chunk(flow_ids=flow_ids).send()
            sent, place = sent + len(page.behind), page.end
            _warn(page)
            if place is None or is_stopping() or time.monotonic() - started > _LONGEST_SEARCH_S:
                return sent


def _warn(page: Page) -> None:
    for flow_ids, cause in (
        (page.several, "several children"),
        (page.foreign, "a child of another tenant"),
    ):
        if flow_ids:
            _logger.warning("%s masters have %s, %s for one", len(flow_ids), cause, flow_ids[0])


def _is_busy() -> bool:
    """Return whether live events pile up, or the last run's chunks still wait."""
    with app.connection_for_read() as connection:
        return waiting(connection, BACKFILL_QUEUE) > 0 or waiting(connection, ENRICHMENT_QUEUE) > _BUSY


def _left_alone(chunk: Chunk) -> BackfillSummary:
    return BackfillSummary(skipped=dict.fromkeys(map(str, chunk.flow_ids), SWITCHED_OFF))


def _work_off(loop: WorkerLoop, chunk: Chunk) -> BackfillSummary:
    """Catch up slice after slice, until live events wait; then the rest goes back to the end of the queue."""
    scope = Scope(client_account_id=chunk.client_account_id, engagement_id=chunk.engagement_id)
    options = BackfillOptions(repair_status=chunk.repair_status)
    summary, retries = BackfillSummary(), Retries()
    with app.connection_for_read() as connection:
        for start in range(0, len(chunk.flow_ids), SLICE):
            flow_ids = chunk.flow_ids[start : start + SLICE]
            if start and (is_stopping() or waiting(connection, ENRICHMENT_QUEUE)):
                rest = {"chunk_id": uuid4(), "flow_ids": chunk.flow_ids[start:]}
                chunk.model_copy(update=rest).send()
                break

            def attempt(part: list[UUID] = flow_ids) -> BackfillSummary:
                return loop.run(lambda sessions: catch_up(sessions, part, scope, options))

            try:
                summary += retries.run(attempt)
            except TransientError as error:
                summary += BackfillSummary(failed=dict.fromkeys(map(str, chunk.flow_ids[start:]), str(error)))
                break
    return summary


def _hand_in(loop: WorkerLoop, chunk: Chunk, summary: BackfillSummary) -> None:
    counters = loop.counters
    counters.add("backfill:changed", summary.changed)
    counters.add("backfill:unchanged", summary.unchanged)
    counters.add("backfill:skipped", len(summary.skipped))
    counters.add("backfill:failed", len(summary.failed))
    pipeline = loop.redis.pipeline(transaction=False)
    counters.write(pipeline)
    if chunk.report_to:
        key = backfill_key(chunk.report_to)
        pipeline.hset(key, str(chunk.chunk_id), summary.model_dump_json())
        pipeline.expire(key, _REPORT_KEPT_S)
    try:
        pipeline.execute()
    except RedisError as error:
        _logger.warning("The summary of a backfill is lost: %s", error)
    else:
        counters.written()
