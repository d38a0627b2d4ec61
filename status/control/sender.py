"""Asking something of a flow: whether it may be asked, the events that say so, and whether they arrived."""

import asyncio
import json
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from pydantic import JsonValue
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.clock import clock, from_microseconds, to_microseconds
from masterflow.domain.control.questions import Question, questions
from masterflow.domain.control.refusals import refusal
from masterflow.domain.control.requests import requests
from masterflow.domain.control.schemas import schema_problem
from masterflow.domain.errors import InputInvalid, PermanentError
from masterflow.domain.events import (
    AnyEvent,
    ControlRequested,
    ErrorOccurred,
    StatusChanged,
    new_event,
)
from masterflow.domain.events.control import Action
from masterflow.domain.liveness import Liveness
from masterflow.domain.redis_keys import answering_key, request_key
from masterflow.domain.tenant import flow_context
from masterflow.repository.redis.client import RedisLink, RedisUnavailable
from masterflow.repository.redis.holders import read_liveness
from masterflow.repository.rights.row_security import check_sight, no_such_flow
from masterflow.repository.status.control import entries_of, read_control
from masterflow.repository.status.reads import FlowScope
from masterflow.tasks.enqueue import BrokerUnavailable, Publisher, QueueSettings, RequestMessage

#: What became of a request: it stands in the row, or it is on its way there.
State = Literal["accepted", "sent"]

MAX_REASON_CHARS: Final = 500

#: How long the row is looked at for what was sent; workers need some 50 ms.
WAIT_S: Final = 2.0

_FIRST_LOOK_S: Final = 0.02
_LONGEST_LOOK_S: Final = 0.2

# A repetition within this time is the same to the microsecond.
_REMEMBERED_S: Final = 600
# As long as an answer may be on its way, nobody else gives one.
_CLAIMED_S: Final = 30


class RequestRefused(PermanentError):
    """The flow cannot be asked this now; the message says why."""

    reason = "request_refused"


class AnsweredAlready(RequestRefused):
    """Somebody else has answered the question first."""

    reason = "answered_already"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """What somebody asks of a flow."""

    action: Action
    by: str
    #: The same id again is the same request.
    request_id: UUID
    reason: str | None = None
    #: The id or the key of the question that is answered; one that asks only one thing needs none.
    question: str | None = None
    answer: JsonValue = None


class RequestSender:
    """Sends what people ask of flows, over the broker to a worker, as signed events.

    Two answers to one question that come at once are kept apart before they are sent, so that one of them
    is the answer and the other is told so.
    """

    def __init__(
        self, sessions: async_sessionmaker[AsyncSession], redis: RedisLink, queue: QueueSettings
    ) -> None:
        self._sessions = sessions
        self._redis = redis
        self._queue = queue

    async def send(
        self, scope: FlowScope, flow_id: UUID, asked: NewRequest, *, wait_s: float = WAIT_S
    ) -> State:
        """Ask, and return what became of it within the time.

        RequestRefused says why this cannot be asked now, AnsweredAlready that another answer came first.
        What raises FlowNotFound, InputInvalid or DatabaseUnavailable was not asked.

        Raises:
            BrokerUnavailable: nobody knows whether it was sent; ask again with the same id.
        """
        row = await self._row(scope, flow_id)
        if _is_there(row, asked):
            return "accepted"
        liveness = await read_liveness(self._redis, row)
        question = _question(row, asked) if asked.action == "answer" else None
        _check(row, asked, question, liveness)
        at = await self._time_of(row, asked)
        events = _events(row, asked, question, at=at, is_held=liveness in ("alive", "silent"))
        if question:
            await self._claim(question, asked)
        try:
            await asyncio.to_thread(self._publish, str(row["client_account_id"]), asked, events)
        except BrokerUnavailable:
            if question:
                await self._let_go(question)
            raise
        return await self._arrival(scope, flow_id, asked, wait_s)

    async def _row(self, scope: FlowScope, flow_id: UUID) -> RowMapping:
        async with self._sessions() as db:
            for row in await read_control(db, scope, [flow_id]):
                return row
            await check_sight(db)
            raise await no_such_flow(db, flow_id)

    async def _time_of(self, row: RowMapping, asked: NewRequest) -> datetime:
        """Return when this is asked: later than all that is known of the flow; of a repetition, as before."""
        if newest := _time_of_stamp(row["newest"]):
            clock.observe(row["flow_id"], newest)
        at = clock.tick(row["flow_id"])
        key = request_key(row["client_account_id"], asked.request_id)
        try:
            if await self._redis.ask(
                lambda redis: redis.set(key, to_microseconds(at), nx=True, ex=_REMEMBERED_S)
            ):
                return at
            text = await self._redis.ask(lambda redis: redis.get(key))
            before = from_microseconds(int(text or 0))
        except (RedisUnavailable, ValueError, OverflowError):
            return at
        return before if timedelta() <= at - before <= timedelta(seconds=_REMEMBERED_S) else at

    async def _claim(self, question: Question, asked: NewRequest) -> None:
        """Let no other answer be given while this one is on its way.

        Raises:
            AnsweredAlready: another one is.
        """
        key, claim = answering_key(question.id), f"{asked.request_id} {asked.by}"
        try:
            if await self._redis.ask(lambda redis: redis.set(key, claim, nx=True, ex=_CLAIMED_S)):
                return
            held = await self._redis.ask(lambda redis: redis.get(key))
        except RedisUnavailable:
            return
        request_id, _, by = (held.decode() if isinstance(held, bytes) else str(held or claim)).partition(" ")
        if request_id != str(asked.request_id):
            raise AnsweredAlready(f"{by} answered this a moment ago.")

    async def _let_go(self, question: Question) -> None:
        """Let others answer, as nobody knows whether this answer was sent; if it was, the law decides."""
        with suppress(RedisUnavailable):
            key = answering_key(question.id)
            await self._redis.ask(lambda redis: redis.set(key, "", xx=True, px=1))

    def _publish(self, client_account_id: str, asked: NewRequest, events: list[AnyEvent]) -> None:
        message = RequestMessage(
            request_id=str(asked.request_id),
            client_account_id=client_account_id,
            events=json.dumps([event.model_dump(mode="json") for event in events], ensure_ascii=False),
            signed_at=to_microseconds(datetime.now(UTC)),
        )
        with closing(Publisher(self._queue)) as publisher:
            publisher.ask(message)

    async def _arrival(self, scope: FlowScope, flow_id: UUID, asked: NewRequest, wait_s: float) -> State:
        deadline, pause_s = time.monotonic() + wait_s, _FIRST_LOOK_S
        while time.monotonic() < deadline:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_LOOK_S)
            if _is_there(await self._row(scope, flow_id), asked):
                return "accepted"
        return "sent"


def _is_there(row: RowMapping, asked: NewRequest) -> bool:
    """Return whether the row has the request.

    Raises:
        InputInvalid: its id is that of another one.
        AnsweredAlready: it is an answer, and another one came first.
    """
    entries = entries_of(row)
    found = next((one for one in requests(entries) if one.id == asked.request_id), None)
    if found is None:
        return False
    if found.action != asked.action:
        raise InputInvalid(f"The request {asked.request_id} was to {found.action} the flow; take a new id.")
    for question in questions(entries):
        is_answered = question.id == found.question_id and question.state == "answered"
        if is_answered and question.request_id not in {None, found.id}:
            raise AnsweredAlready(f"{question.answered_by or 'Somebody'} answered first.")
    return True


def _question(row: RowMapping, asked: NewRequest) -> Question | None:
    """Return the question that is meant, if the flow asks it.

    Raises:
        InputInvalid: nobody said which, and it asks several.
    """
    found = questions(entries_of(row))
    if asked.question is not None:
        found = [each for each in found if asked.question in {each.key, str(each.id)}]
    still_open = [each for each in found if each.state == "open"]
    if asked.question is None and len(still_open) > 1:
        keys = ", ".join(each.key for each in still_open)
        raise InputInvalid(f"The flow asks several questions; say which is answered: {keys}.")
    return next(reversed(still_open or found), None)


def _check(row: RowMapping, asked: NewRequest, question: Question | None, liveness: Liveness | None) -> None:
    """Accept what may be asked now.

    Raises:
        RequestRefused: it may not.
        InputInvalid: the answer, or the reason, does not have the form that it must have.
    """
    if len(asked.reason or "") > MAX_REASON_CHARS:
        raise InputInvalid(f"A reason has at most {MAX_REASON_CHARS} characters.")
    why = refusal(
        asked.action,
        status=row["flow_status"],
        liveness=liveness,
        entries=entries_of(row),
        question=question,
        answer=asked.answer,
        now=datetime.now(UTC),
    )
    if why and question and question.state == "open" and asked.answer not in question.options:
        raise InputInvalid(why) if question.options else RequestRefused(why)
    if why:
        raise RequestRefused(why)
    if question and question.answer_schema and (why := schema_problem(question.answer_schema, asked.answer)):
        raise InputInvalid(why)


def _events(
    row: RowMapping, asked: NewRequest, question: Question | None, *, at: datetime, is_held: bool
) -> list[AnyEvent]:
    """Return the request, and the end of the flow with it where no process is left that could obey."""
    context = flow_context(row["client_account_id"], row["engagement_id"], asked.by)

    def event(kind: Any, name: str = "", **fields: Any) -> AnyEvent:
        event_id = uuid5(asked.request_id, name) if name else asked.request_id
        made: AnyEvent = new_event(kind, context, row["flow_id"], event_id=event_id, occurred_at=at, **fields)
        return made

    request = event(
        ControlRequested,
        action=asked.action,
        by=asked.by,
        reason=asked.reason or None,
        question_id=question.id if question else None,
        answer=asked.answer,
    )
    if asked.action == "cancel" and not is_held:
        facts = {
            "cancelled_by": asked.by,
            "cancel_reason": asked.reason or None,
            "cancel_request": str(asked.request_id),
        }
        return [request, event(StatusChanged, "status", status="cancelled", metadata=facts)]
    if asked.action == "fail":
        why = f"Closed by {asked.by}" + (f": {asked.reason}" if asked.reason else ".")
        phase = row["current_phase"] or "flow"
        return [
            request,
            event(StatusChanged, "status", status="failed"),
            event(ErrorOccurred, "error", phase=phase, error=why, details={"closed_by": asked.by}),
        ]
    return [request]


def _time_of_stamp(stamp: object) -> datetime | None:
    digits = stamp[:16] if isinstance(stamp, str) else ""
    return from_microseconds(int(digits)) if digits.isdecimal() else None
