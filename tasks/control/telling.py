"""Telling the processes that have a flow what was asked of it, through one stream for each tenant.

What is told is what the row holds and the flow has not obeyed yet, so that whatever a restart, a cut or an
emptied Redis swallowed comes again with the next report of the flow.
"""

import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from redis import Redis, ResponseError
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.control.questions import Question, given_answers, pending_answers, questions
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

#: Readers begin anew where an id is so far ahead of Redis's clock.
_MOST_AHEAD_S: Final = 5

#: How Redis refuses a word for a key of another kind, and for a stream that has had the highest id.
_BLOCKED: Final = ("WRONGTYPE", "exhausted", "equal or smaller")

#: How a question ends for which the process has no answer to find.
_UNANSWERED: Final = ("timed_out", "withdrawn")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Of which flows a batch gives reason to tell what is pending."""

    flow_ids: frozenset[UUID]
    engagement_ids: frozenset[UUID]
    #: Requests that came with it: they are told whatever was told before.
    fresh: frozenset[UUID]
    #: Flows that ask something, so that a process of theirs waits, and the questions.
    asking: frozenset[UUID]
    asked: frozenset[UUID]


def told_about(events: Collection[AnyEvent], controlled: Collection[UUID] = ()) -> Occasion:
    """Return the occasion that merged events are; of `controlled` flows the row has requests or questions."""
    kinds = (ControlRequested, QuestionAsked)
    questions_asked = [event for event in events if isinstance(event, QuestionAsked)]
    meant = [event for event in events if isinstance(event, kinds) or event.flow_id in controlled]
    return Occasion(
        flow_ids=frozenset(event.flow_id for event in meant),
        engagement_ids=frozenset(event.engagement_id for event in meant),
        fresh=frozenset(event.event_id for event in meant if isinstance(event, ControlRequested)),
        asking=frozenset(event.flow_id for event in questions_asked),
        asked=frozenset(event.event_id for event in questions_asked),
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

    def tell(self, redis: "Redis", rows: Iterable[Mapping[Any, Any]], occasion: Occasion) -> None:
        """Write what the flows of these rows are to be told; a `RedisError` passes.

        What somebody has put in the place of a stream, or made to end, is removed first: what it held and
        nobody has obeyed yet comes again with the next report.

        Raises:
            ResponseError: even a new stream is refused.
        """
        words = []
        for row in rows:
            for request in pending(row, occasion):
                is_awaited = row["flow_id"] in occasion.asking
                if request.id in occasion.fresh or is_awaited or self._is_due(request.id):
                    words.append(self._word(row, told_text(request)))
            words.extend(self._word(row, question_text(each)) for each in known_questions(row, occasion))
        if blocked := _write(redis, words):
            redis.unlink(*blocked)
            _logger.warning(
                "%s in Redis were no streams of ours, and are removed", ", ".join(sorted(blocked))
            )
            if _write(redis, [word for word in words if word[0] in blocked]):
                raise ResponseError("A stream of what flows are told takes no word although it is new.")

    def _word(self, row: Mapping[Any, Any], text: str) -> tuple[str, dict[str, str]]:
        """Return the key of a stream, and what it is to be given."""
        key = told_key(row["client_account_id"], row["engagement_id"])
        flow_id = str(row["flow_id"])
        proof = sign("control", [flow_id, text], self._settings.keys_of(row["client_account_id"]))
        fields = {"flow_id": flow_id, "message": text}
        if proof:
            fields |= {"key_id": proof.key_id, "signature": proof.value}
        return key, fields

    def _is_due(self, request_id: UUID) -> bool:
        now = time.monotonic()
        if now - self._told_at.get(request_id, -_AGAIN_AFTER_S) < _AGAIN_AFTER_S:
            return False
        self._told_at.pop(request_id, None)
        self._told_at[request_id] = now
        while len(self._told_at) > _MOST_REMEMBERED:
            del self._told_at[next(iter(self._told_at))]
        return True


def _write(redis: "Redis", words: Sequence[tuple[str, dict[str, str]]]) -> set[str]:
    """Add these to their streams; return the keys that are none, or whose last id is from a time to come.

    After the highest id a stream takes nothing at all. After another one from a time to come it does, but
    its readers would read all of it at each look.
    """
    if not words:
        return set()
    pipeline: Any = redis.pipeline(transaction=False)
    pipeline.time()
    for key, fields in words:
        pipeline.xadd(key, fields, maxlen=MOST_TOLD, approximate=True)
        pipeline.expire(key, _KEPT_S)
    (seconds, _), *answers = pipeline.execute(raise_on_error=False)
    blocked = set()
    for (key, _), answer in zip(words, answers[::2], strict=True):
        if isinstance(answer, ResponseError) and any(word in str(answer) for word in _BLOCKED):
            blocked.add(key)
        elif isinstance(answer, Exception):
            raise answer
        elif int(answer.partition("-")[0]) > (seconds + _MOST_AHEAD_S) * 1000:
            blocked.add(key)
    return blocked


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


def known_questions(row: Mapping[Any, Any], occasion: Occasion) -> list[Question]:
    """Return the questions just asked that were asked before, or that ended without an answer.

    The process that asks again needs to know since when it was asked, and that nobody may answer any more.
    """
    if row["flow_id"] not in occasion.asking:
        return []
    asked = [one for one in questions(entries_of(row)) if one.id in occasion.asked]
    return [one for one in asked if one.state in _UNANSWERED or (one.is_asked_again and one.state == "open")]


def question_text(question: Question) -> str:
    """Return what processes read of a question that was asked before."""
    return json.dumps(
        {
            "request_id": str(question.id),
            "action": "asked",
            "by": "",
            "at": question.asked_at.isoformat(timespec="microseconds"),
            "question_id": str(question.id),
            "outcome": question.state if question.state in _UNANSWERED else None,
        }
    )


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
