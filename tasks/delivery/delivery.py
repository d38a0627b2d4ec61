"""What a worker does about one message: merge, commit, keep what is refused, confirm, count."""

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from redis import RedisError

from masterflow.domain.errors import FlowNotFound, PermanentError, TenantMismatch, TransientError
from masterflow.domain.events import AnyEvent
from masterflow.tasks.dead_letters.letters import letter_about
from masterflow.tasks.delivery.confirmations import write_confirmation
from masterflow.tasks.delivery.loop import WorkerLoop
from masterflow.tasks.delivery.merging import Merged
from masterflow.tasks.delivery.parking import park
from masterflow.tasks.delivery.retry import Patience
from masterflow.tasks.inbox.admission import Admission
from masterflow.tasks.inbox.attempts import MAX_LOST, Attempt, end_attempt
from masterflow.tasks.inbox.refusals import WorkerLost
from masterflow.tasks.shown_arguments import NOTHING

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came, so that it can come again."""

    task: str
    message_id: str
    kwargs: Mapping[str, Any]
    #: What people may see of it.
    shown: str = NOTHING


class Delivery:
    """One message on its way into the rows."""

    def __init__(self, loop: WorkerLoop, message: Message, attempt: Attempt, admission: Admission) -> None:
        self._loop = loop
        self._message = message
        self._attempt = attempt
        self._admission = admission
        self._events = admission.events
        self._patience = Patience()

    def run(self) -> None:
        """Apply what was admitted and set aside the rest; then the message may be acknowledged.

        Raises:
            TransientError: something is away for longer than a task may wait; the message must go back.
        """
        try:
            is_done = self._settle()
        except TransientError:
            self._report(is_done=False)
            raise
        self._report(is_done=is_done)

    def _settle(self) -> bool:
        """Return whether each event is in its row or among the dead letters; else the message is parked."""
        if self._attempt.lost >= MAX_LOST:
            self._refuse_all()
        skipped = self._leave_out_analytics()
        merged = self._patience.outlast(self._merge)
        if merged.missing and self._is_early() and self._patience.outlast(self._park):
            return False
        self._sort_out(merged)
        self._patience.outlast(self._keep_refused)
        self._count(skipped)
        return True

    def _refuse_all(self) -> None:
        lost = WorkerLost(f"The worker ended {self._attempt.lost} times in a row while it applied this.")
        for event in self._events:
            self._admission.refuse(event, lost)
        self._events = []

    def _leave_out_analytics(self) -> int:
        """Leave out all but status and progress while enrichment is off; return how many events that were."""
        admitted = self._events
        if any(event.is_enrichment for event in admitted) and not self._loop.is_enabled():
            self._events = [event for event in admitted if not event.is_enrichment]
        return len(admitted) - len(self._events)

    def _merge(self) -> Merged:
        if not self._events:
            return Merged()
        started = time.perf_counter()
        merged = self._loop.merge(self._events)
        self._loop.counters.observe("merge_seconds", time.perf_counter() - started)
        self._loop.counters.observe("batch_size", len(self._events))
        return merged

    def _is_early(self) -> bool:
        return self._waited_s() < self._loop.settings.flow_grace_s

    def _waited_s(self) -> float:
        return (datetime.now(UTC) - self._attempt.first_seen).total_seconds()

    def _park(self) -> bool:
        # The number keeps one parking from being taken for the one before it.
        message = asdict(self._message) | {"number": self._attempt.number}
        is_parked = park(self._loop.redis, message, now=datetime.now(UTC), waited_s=self._waited_s())
        self._loop.counters.add("parked", int(is_parked))
        return is_parked

    def _sort_out(self, merged: Merged) -> None:
        """Keep the events that were applied, and refuse the others."""
        admitted, self._events = self._events, []
        for event in admitted:
            if (error := _verdict(event, merged)) is None:
                self._events.append(event)
            else:
                self._admission.refuse(event, error)

    def _keep_refused(self) -> None:
        refusals = self._admission.refusals
        if refusals:
            letters = [letter_about(refusal, self._admission, self._attempt) for refusal in refusals]
            self._loop.counters.add("dead_dropped", self._loop.dead_letters.put(letters))

    def _count(self, skipped: int) -> None:
        counters, now = self._loop.counters, datetime.now(UTC)
        counters.add("repeated" if self._attempt.was_committed else "applied", len(self._events))
        counters.add("skipped", skipped)
        for refusal in self._admission.refusals:
            counters.add(f"dead:{refusal.error.reason}")
        for event in self._events:
            counters.observe("lag_seconds", max(0.0, (now - event.occurred_at).total_seconds()))

    def _report(self, *, is_done: bool) -> None:
        """Confirm the batch if it is done; a failure costs a repetition, never data."""
        counters, pipeline = self._loop.counters, self._loop.redis.pipeline(transaction=False)
        end_attempt(pipeline, self._attempt.batch_id, is_committed=is_done)
        is_awaited = is_done and self._admission.sender_id != ""
        if is_awaited:
            self._confirm(pipeline)
        counters.write(pipeline)
        try:
            pipeline.execute()
        except RedisError as error:
            _logger.warning("Batch %s is not confirmed yet: %s", self._admission.batch_id, error)
            counters.add("unconfirmed", int(is_awaited))
        else:
            counters.written()

    def _confirm(self, pipeline: Any) -> None:
        applied, was_committed = len(self._events), self._attempt.was_committed
        counts = {
            "applied": 0 if was_committed else applied,
            "repeated": applied if was_committed else 0,
            "dead": len(self._admission.refusals),
        }
        write_confirmation(pipeline, self._admission.sender_id, self._admission.batch_id, counts=counts)


def _verdict(event: AnyEvent, merged: Merged) -> PermanentError | None:
    if event.event_id in merged.refused:
        return merged.refused[event.event_id]
    if event.flow_id in merged.missing:
        return FlowNotFound("No flow has this id; create its master row, then replay the event.")
    if event.flow_id in merged.foreign:
        return TenantMismatch("The flow belongs to another client account or engagement.")
    return None
