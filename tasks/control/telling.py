"""Telling the processes that have a flow what was asked of it, through one stream for each tenant.

What is told is what the row holds and the flow has not obeyed yet, so that whatever a restart, a cut or an
emptied Redis swallowed comes again with the next report of the flow.
"""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.control.questions import given_answers, pending_answers
from masterflow.domain.control.requests import Request, pending_pause, pending_stop, requests
from masterflow.domain.events import AnyEvent, ControlRequested, QuestionAsked
from masterflow.domain.redis_keys import told_key
from masterflow.domain.signing.settings import SigningSettings
from masterflow.domain.signing.signatures import sign
from masterflow.repository.status.control import entries_of, read_control
from masterflow.repository.status.reads import FlowScope

#: Of a tenant. A process that reads twice a second misses none of them.
MOST_TOLD: Final = 10_000

#: A stream is dropped a day after the last word.
_KEPT_S: Final = 86_400

#: A flow that reports without a pause is told the same thing once in so long.
_AGAIN_AFTER_S: Final = 1.0
_MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Of which flows a batch gives reason to tell what is pending."""

    flow_ids: frozenset[UUID]
    engagement_ids: frozenset[UUID]
    #: Requests that came with it: they are told whatever was told before.
    fresh: frozenset[UUID]
    #: Flows that ask something, so that a process of theirs waits.
    asking: frozenset[UUID]


def told_about(events: Collection[AnyEvent], controlled: Collection[UUID] = ()) -> Occasion:
    """Return the occasion that merged events are; of `controlled` flows the row has requests or questions."""
    kinds = (ControlRequested, QuestionAsked)
    meant = [event for event in events if isinstance(event, kinds) or event.flow_id in controlled]
    return Occasion(
        flow_ids=frozenset(event.flow_id for event in meant),
        engagement_ids=frozenset(event.engagement_id for event in meant),
        fresh=frozenset(event.event_id for event in meant if isinstance(event, ControlRequested)),
        asking=frozenset(event.flow_id for event in meant if isinstance(event, QuestionAsked)),
    )


async def read_rows(
    sessions: async_sessionmaker[AsyncSession], scope: FlowScope, flow_ids: Iterable[UUID]
) -> Sequence[RowMapping]:
    """Return the rows that say what is pending, in a transaction of its own."""
    async with sessions() as db:
        return await read_control(db, scope, flow_ids)


class Teller:
    """Tells what is pending; belongs to one thread of a worker."""

    def __init__(self, settings: SigningSettings) -> None:
        self._settings = settings
        self._told_at: dict[UUID, float] = {}

    def tell(self, pipeline: Any, rows: Iterable[Mapping[Any, Any]], occasion: Occasion) -> None:
        """Write along with a pipeline what the flows of these rows are to be told."""
        for row in rows:
            for request in pending(row, occasion):
                is_awaited = row["flow_id"] in occasion.asking
                if request.id in occasion.fresh or is_awaited or self._is_due(request.id):
                    self._write(pipeline, row, request)

    def _write(self, pipeline: Any, row: Mapping[Any, Any], request: Request) -> None:
        key = told_key(row["client_account_id"], row["engagement_id"])
        flow_id, text = str(row["flow_id"]), told_text(request)
        proof = sign("control", [flow_id, text], self._settings.keys_of(row["client_account_id"]))
        fields = {"flow_id": flow_id, "message": text}
        if proof:
            fields |= {"key_id": proof.key_id, "signature": proof.value}
        pipeline.xadd(key, fields, maxlen=MOST_TOLD, approximate=True)
        pipeline.expire(key, _KEPT_S)

    def _is_due(self, request_id: UUID) -> bool:
        now = time.monotonic()
        if now - self._told_at.get(request_id, -_AGAIN_AFTER_S) < _AGAIN_AFTER_S:
            return False
        self._told_at.pop(request_id, None)
        self._told_at[request_id] = now
        while len(self._told_at) > _MOST_REMEMBERED:
            del self._told_at[next(iter(self._told_at))]
        return True


def pending(row: Mapping[Any, Any], occasion: Occasion) -> list[Request]:
    """Return what a flow has not obeyed yet, from a row of read_control.sql.

    A flow that waits for a human is held by nobody and is cancelled at once; its process, which may wait
    still, is told when that is asked, and when it asks again. One that asks what was answered before, such
    as a process that was started anew, is told that answer, whether a former process has taken it or not.
    """
    entries, status = entries_of(row), str(row["flow_status"])
    is_asking = row["flow_id"] in occasion.asking
    if status == "cancelled":
        cancels = [one for one in requests(entries) if one.action == "cancel"]
        return [one for one in cancels if is_asking or one.id in occasion.fresh][:1]
    answers = given_answers(entries) if is_asking else pending_answers(entries)
    wanted = (pending_stop(entries, status), pending_pause(entries, status), *answers)
    return [one for one in wanted if one]


def told_text(request: Request) -> str:
    """Return a request as processes read it."""
    return json.dumps(
        {
            "request_id": str(request.id),
            "action": request.action,
            "by": request.by,
            "reason": request.reason,
            "at": request.at.isoformat(timespec="microseconds"),
            "question_id": str(request.question_id) if request.question_id else None,
            "answer": request.answer,
        },
        ensure_ascii=False,
    )
