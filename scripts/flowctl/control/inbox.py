"""`flowctl inbox`: which flows wait for somebody, and what they ask."""

from typing import TYPE_CHECKING

from masterflow.scripts.flowctl.options import (
    AllEngagements,
    AsJson,
    Client,
    Engagements,
    Limit,
    chosen_engagements,
)
from masterflow.scripts.flowctl.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from masterflow.status.control.views import QuestionView, WaitingFlow


def inbox(
    *,
    client: Client,
    engagement: Engagements = None,
    all_engagements: AllEngagements = False,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List the flows that wait for somebody, those that wait longest first, with what they ask.

    `flowctl flow answer` answers a question, `flowctl flow resume` lets a paused flow go on.
    """
    from masterflow.domain.shown.times import moment
    from masterflow.repository.status.reads import FlowScope
    from masterflow.scripts.database import with_session
    from masterflow.status.durations import lasting
    from masterflow.status.manager import FlowStatusManager

    scope = FlowScope(client, chosen_engagements(engagement, are_all=all_engagements))

    async def read(session: "AsyncSession") -> "list[WaitingFlow]":
        return (await FlowStatusManager(session, scope).get_inbox(limit=limit)).waiting

    found = with_session(read)
    if as_json:
        print_json([flow.model_dump(mode="json") for flow in found])
        return
    print_table(
        ("flow", "waits", "since", "asks", "answers"),
        (
            (str(flow.flow_id), lasting(_age_s(flow) * 1000), moment(flow.since), *words)
            for flow in found
            for words in _asked(flow)
        ),
        empty="No flow waits for anybody.",
    )


def _age_s(flow: "WaitingFlow") -> float:
    from datetime import UTC, datetime

    return max(0.0, (datetime.now(UTC) - flow.since).total_seconds())


def _asked(flow: "WaitingFlow") -> "Iterator[tuple[str, str]]":
    if flow.paused:
        why = f": {flow.paused.reason}" if flow.paused.reason else ""
        yield f"paused by {flow.paused.by}{why}", ""
    elif not flow.questions:
        yield flow.message or (flow.current_phase or "").replace("_", " "), ""
    for question in flow.questions:
        yield f"{question.key}: {question.question}", _answers(question)


def _answers(question: "QuestionView") -> str:
    if question.options:
        return ", ".join(question.options)
    return "JSON of a schema" if question.answer_schema else "anything"
