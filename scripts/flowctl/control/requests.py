"""`flowctl flow cancel`, `pause`, `resume`, `answer` and `fail`."""

import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from masterflow.scripts.flowctl.flow import group
from masterflow.scripts.flowctl.options import AsJson, Client, Engagement, FlowId
from masterflow.scripts.flowctl.output import print_done
from masterflow.scripts.terminal.failures import FAILED

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from masterflow.domain.events.control import Action
    from masterflow.status.control.sender import NewRequest, State

Reason = Annotated[str | None, typer.Option(help="Why; it stands in the row.")]
By = Annotated[
    str | None, typer.Option(help="Who asks.", show_default="who runs this, as the system knows them")
]
RequestId = Annotated[
    UUID | None, typer.Option(help="To ask again for the same thing: the id it had.", show_default=False)
]

_DONE: Final = {
    "cancel": "The flow is asked to stop; it ends where its code allows it, at once if no process has it.",
    "pause": "The flow is asked to pause; it waits where its code allows it.",
    "resume": "The flow may go on.",
    "answer": "The flow has the answer.",
    "fail": "The flow is closed as failed.",
}


@group.command()
def cancel(
    flow_id: FlowId,
    *,
    client: Client,
    engagement: Engagement,
    reason: Reason = None,
    by: By = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Ask a flow to stop: it ends as cancelled where its code allows it, at once if no process has it."""
    _ask("cancel", flow_id, (client, engagement), (by, reason, request_id), as_json)


@group.command()
def pause(
    flow_id: FlowId,
    *,
    client: Client,
    engagement: Engagement,
    reason: Reason = None,
    by: By = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Ask a flow to wait, where its code allows it, until it is resumed or cancelled."""
    _ask("pause", flow_id, (client, engagement), (by, reason, request_id), as_json)


@group.command()
def resume(
    flow_id: FlowId,
    *,
    client: Client,
    engagement: Engagement,
    reason: Reason = None,
    by: By = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Let a paused flow go on."""
    _ask("resume", flow_id, (client, engagement), (by, reason, request_id), as_json)


@group.command()
def fail(
    flow_id: FlowId,
    *,
    client: Client,
    engagement: Engagement,
    reason: Reason = None,
    by: By = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Close a flow whose process is gone: it is failed, with an error that says who closed it."""
    _ask("fail", flow_id, (client, engagement), (by, reason, request_id), as_json)


@group.command()
def answer(
    flow_id: FlowId,
    *,
    client: Client,
    engagement: Engagement,
    answer: Annotated[str, typer.Option(help="JSON, or a plain word.", show_default=False)],
    question: Annotated[
        str | None,
        typer.Option(help="Which one, by id or key; a flow that asks one thing only needs none."),
    ] = None,
    by: By = None,
    request_id: RequestId = None,
    as_json: AsJson = False,
) -> None:
    """Answer what a flow asks, as `flowctl inbox` shows it; the first answer counts."""
    value = {"question": question, "answer": _value(answer)}
    _ask("answer", flow_id, (client, engagement), (by, None, request_id), as_json, **value)


def _ask(
    action: "Action",
    flow_id: UUID,
    tenant: tuple[UUID, UUID],
    told: tuple[str | None, str | None, UUID | None],
    as_json: bool,  # noqa: FBT001
    **answer: Any,
) -> None:
    from masterflow.domain.clock import clock, to_microseconds, uuid7
    from masterflow.scripts.database import with_engine
    from masterflow.status.control.sender import NewRequest

    by, reason, request_id = told
    asked = NewRequest(
        action=action,
        by=by or getpass.getuser(),
        reason=reason,
        request_id=request_id or uuid7(to_microseconds(clock.tick())),
        **answer,
    )
    state = with_engine(lambda engine: _sent(engine, tenant, flow_id, asked))
    sentence = _DONE[action] if state == "accepted" else _on_its_way(asked)
    print_done(sentence, as_json=as_json, request_id=str(asked.request_id), state=state)
    if state != "accepted":
        raise typer.Exit(FAILED)


async def _sent(
    engine: "AsyncEngine", tenant: tuple[UUID, UUID], flow_id: UUID, asked: "NewRequest"
) -> "State":
    from masterflow.repository.database import session_factory
    from masterflow.repository.redis.client import redis_link
    from masterflow.repository.status.reads import FlowScope
    from masterflow.status.control.sender import RequestSender
    from masterflow.tasks.enqueue import QueueSettings

    client, engagement = tenant
    async with redis_link() as redis:
        sender = RequestSender(session_factory(engine), redis, QueueSettings())
        return await sender.send(FlowScope(client, frozenset({engagement})), flow_id, asked)


def _on_its_way(asked: "NewRequest") -> str:
    return (
        "No worker has taken the request yet; is one running? It is done once `flowctl flow show` has it;"
        f" ask again with --request-id {asked.request_id}, and it is the same request."
    )


def _value(text: str) -> Any:
    """Return the JSON that a text is, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
