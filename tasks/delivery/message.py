"""One message on its way into the rows, and everything that is said about it on the way."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from redis import RedisError

from masterflow.domain.errors import (
    FlowHidden,
    FlowNotFound,
    PermanentError,
    SignatureInvalid,
    TenantMismatch,
    TransientError,
)
from masterflow.domain.events import AnyEvent
from masterflow.domain.redis_keys import refused_key
from masterflow.repository.status.reads import FlowScope
from masterflow.tasks.broker import BrokerUnavailable
from masterflow.tasks.confirmations import write_confirmation, write_missing_rows, write_refusal
from masterflow.tasks.control.telling import read_rows, told_about
from masterflow.tasks.dead_letters.letters import letter_about
from masterflow.tasks.delivery.loop import WorkerLoop
from masterflow.tasks.delivery.merging import Merged, merge
from masterflow.tasks.delivery.parking import park
from masterflow.tasks.delivery.retry import Retries
from masterflow.tasks.delivery.skipped import note_skipped
from masterflow.tasks.inbox.admission import Admission, WorkerLost
from masterflow.tasks.inbox.attempts import MAX_LOST, end_attempt
from masterflow.tasks.shown_arguments import NOTHING

# How long the letters about a batch that cannot be verified, and so comes again and again, are written once.
_LETTERS_ONCE_S: Final = 86_400

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came, so that it can come again."""

    task: str
    message_id: str
    kwargs: Mapping[str, Any]
    #: What people may see of it.
    shown: str = NOTHING


class MessageMerge:
    """One message on its way into the rows: merged and committed, then confirmed, never before."""

    def __init__(self, loop: WorkerLoop, message: Message, admission: Admission) -> None:
        self._loop = loop
        self._message = message
        self._attempt = admission.attempt
        self._admission = admission
        self._events = admission.events
        self._retries = Retries()
        self._has_run = False
        self._missing: frozenset[UUID] = frozenset()
        self._skipped: list[AnyEvent] = []

    @property
    def is_first_attempt(self) -> bool:
        """Return whether nobody is known to have tried it before."""
        return self._attempt.number == 1

    @property
    def client_account_id(self) -> str:
        """Return whose events these are; empty if it holds no batch."""
        return self._admission.client_account_id

    def wanted(self) -> list[AnyEvent]:
        """Return the events that are to be merged."""
        if self._attempt.lost >= MAX_LOST:
            self._refuse_all()
        self._leave_out_analytics()
        return self._events

    def run(self, merged: Merged | None = None) -> None:
        """Apply what was admitted and set aside the rest; then the message may be acknowledged.

        What is `wanted` may have been merged already, and all of it is in the rows.

        Raises:
            TransientError: something is away for longer than a task may wait; the message must go back.
        """
        self._has_run = True
        try:
            is_done = self._settle(self._retries.run(self._merge) if merged is None else merged)
        except TransientError:
            self._confirm_and_count(is_done=False)
            raise
        self._confirm_and_count(is_done=is_done)

    def give_back(self) -> None:
        """Note that the worker lives and gives it back, if it has not run."""
        if not self._has_run:
            self._confirm_and_count(is_done=False)

    def _settle(self, merged: Merged) -> bool:
        """Return whether each event is in its row or among the dead letters; else the message is parked."""
        # Who reports about another tenant's flow is refused no sooner than if there were none.
        missing = merged.missing | merged.hidden | merged.foreign
        if missing and self._is_early() and (self._retries.run(self._park) or self._admission.batch):
            # Without room to wait here, it waits with its sender, who sends it again.
            self._missing = missing
            return False
        self._sort_out(merged)
        self._retries.run(self._keep_refused)
        self._retries.run(lambda: self._tell(merged.controlled))
        self._retries.run(self._note_notices)
        self._count_events()
        return True

    def _refuse_all(self) -> None:
        lost = WorkerLost(f"The worker ended {self._attempt.lost} times in a row while it applied this.")
        for event in self._events:
            self._admission.refuse(event, lost)
        self._events = []

    def _leave_out_analytics(self) -> None:
        """Leave out all but status and progress while enrichment is off."""
        if any(event.is_enrichment for event in self._events) and not self._loop.is_enabled():
            self._skipped = [event for event in self._events if event.is_enrichment]
            self._events = [event for event in self._events if not event.is_enrichment]

    def _merge(self) -> Merged:
        return merge_counted(self._loop, self.wanted())

    def _is_early(self) -> bool:
        return self._waited_s() < self._loop.settings.flow_grace_s

    def _waited_s(self) -> float:
        return (datetime.now(UTC) - self._attempt.first_seen).total_seconds()

    def _park(self) -> bool:
        # The number keeps one parking from being taken for the one before it.
        message = asdict(self._message) | {"number": self._attempt.number}
        now, keys = datetime.now(UTC), self._loop.queue.worker_keys
        is_parked = park(self._loop.redis, message, keys, now=now, waited_s=self._waited_s())
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
        if refusals and not self._is_kept_already():
            letters = [letter_about(refusal, self._admission, self._loop.queue) for refusal in refusals]
            is_vouched_for = self._admission.is_verified
            dropped = self._loop.dead_letters.put(letters, is_vouched_for=is_vouched_for)
            self._loop.counters.add("dead_dropped", dropped)

    def _tell(self, controlled: frozenset[UUID]) -> None:
        """Tell the processes of these flows what was asked of them and is not done yet.

        Raises:
            BrokerUnavailable: Redis is away, and something was asked just now.
        """
        told = told_about(self._events, controlled)
        if not told.flow_ids:
            return
        scope = FlowScope(UUID(self._admission.client_account_id), told.engagement_ids)
        rows = self._loop.run(lambda sessions: read_rows(sessions, scope, told.flow_ids))
        try:
            self._loop.teller.tell(self._loop.redis, rows, told)
        except RedisError as error:
            if told.fresh:
                raise BrokerUnavailable(f"Redis takes no word for a flow: {error!r:.300}.") from error
            _logger.warning("A flow hears later what was asked of it: %r", error)

    def _note_notices(self) -> None:
        """Hand over what is to be told outside, so that whoever confirms these events has done so.

        Raises:
            BrokerUnavailable: Redis is away, and somebody is to be told.
        """
        try:
            self._loop.notices.note(self._events)
        except RedisError as error:
            raise BrokerUnavailable(f"Redis takes no notice: {error!r:.300}.") from error

    def _is_kept_already(self) -> bool:
        """Return whether the letters of a batch that stays with its sender, and comes again, lie there.

        Raises:
            BrokerUnavailable: Redis does not say so.
        """
        batch = self._admission.batch
        if batch is None or self._admission.is_verified:
            return False
        key = refused_key(batch.batch_id, batch.key_id or "", batch.digest.hex())
        try:
            return not self._loop.redis.set(key, "1", nx=True, ex=_LETTERS_ONCE_S)
        except RedisError as error:
            raise BrokerUnavailable(f"Redis does not say what was refused before: {error!r:.300}.") from error

    def _count_events(self) -> None:
        counters, now = self._loop.counters, datetime.now(UTC)
        counters.add("repeated" if self._attempt.was_committed else "applied", len(self._events))
        if self._attempt.was_committed:
            self._skipped = []  # They were applied or counted then.
        counters.add("skipped", len(self._skipped))
        refusals = self._admission.refusals
        for refusal in refusals:
            counters.add(f"dead:{refusal.error.reason}")
        counters.add("forged:message", any(one.error.reason == SignatureInvalid.reason for one in refusals))
        for event in self._events:
            counters.observe("lag_seconds", max(0.0, (now - event.occurred_at).total_seconds()))

    def _confirm_and_count(self, *, is_done: bool) -> None:
        """Tell the sender what became of its batch; a failure costs a repetition, never data."""
        counters, pipeline = self._loop.counters, self._loop.redis.pipeline(transaction=False)
        batch, is_verified = self._admission.batch, self._admission.is_verified
        if is_verified:
            end_attempt(pipeline, self._attempt, is_committed=is_done)
        if batch and not is_verified:
            write_refusal(pipeline, batch, SignatureInvalid.reason)
        elif batch and is_done:
            write_confirmation(pipeline, batch, self._attempt.signer, counts=self._counts())
        elif batch and self._missing and self._attempt.number == 1:
            write_missing_rows(pipeline, batch, self._missing)
        counters.write(pipeline)
        try:
            # First, for a batch that is not confirmed comes again, and would count them again.
            note_skipped(self._loop.redis, self._skipped if is_done else [], now=datetime.now(UTC))
            pipeline.execute()
        except RedisError as error:
            _logger.warning("Batch %s is not confirmed yet: %s", self._admission.batch_id, error)
            counters.add("unconfirmed", int(is_done and batch is not None))
        else:
            counters.written()

    def _counts(self) -> dict[str, int]:
        applied, was_committed = len(self._events), self._attempt.was_committed
        return {
            "applied": 0 if was_committed else applied,
            "repeated": applied if was_committed else 0,
            "dead": len(self._admission.refusals),
        }


def merge_counted(loop: WorkerLoop, events: Sequence[AnyEvent]) -> Merged:
    """Merge events in one transaction, and count how many and for how long."""
    if not events:
        return Merged()
    started = time.perf_counter()
    merged = loop.run(lambda sessions: merge(sessions, events))
    loop.counters.observe("merge_seconds", time.perf_counter() - started)
    loop.counters.observe("batch_size", len(events))
    return merged


def _verdict(event: AnyEvent, merged: Merged) -> PermanentError | None:
    if event.event_id in merged.refused:
        return merged.refused[event.event_id]
    if event.flow_id in merged.missing:
        return FlowNotFound("No flow has this id; create its master row, then replay the event.")
    if event.flow_id in merged.hidden:
        return FlowHidden(
            "No row of this id can be reached, and a row-level security policy may hide it; let the worker's"
            " role reach every row, or create the master row, then replay the event."
        )
    if event.flow_id in merged.foreign:
        return TenantMismatch("The flow belongs to another client account or engagement.")
    return None
