"""The HTTP API by which people tell flows what to do, and answer what flows ask."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from masterflow.domain.clock import clock, to_microseconds, uuid7
from masterflow.domain.events.control import Action
from masterflow.status import examples
from masterflow.status.access.tokens import Viewer
from masterflow.status.api.access import Controller
from masterflow.status.api.problems import described
from masterflow.status.api.safe_route import SafeRoute
from masterflow.status.control.sender import MAX_REASON_CHARS, WAIT_S, NewRequest, State
from masterflow.status.service import service_of

_LONGEST_WAIT_S: Final = 10.0
_FLOW: Final = "/flows/{flow_id}"

#: Names of the routes that the page sends to; no route of the application around has them.
TELL: Final = "masterflow-tell-{action}"

#: Part of the router of the API.
router = APIRouter(route_class=SafeRoute, responses=described(400, 403, 404, 409, 413))


class Ask(BaseModel):
    """Why, and which request it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [examples.ASK]})

    reason: Annotated[str, Field(max_length=MAX_REASON_CHARS)] | None = None
    #: Send it again with the same id, and it is the same request.
    request_id: UUID | None = None


class AnswerTo(Ask):
    """An answer, and which question it answers."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [examples.ANSWER]})

    #: Its id or its key; a flow that asks only one thing needs none.
    question: Annotated[str, Field(max_length=300)] | None = None
    #: One of its options, or what its schema describes; at most 2,000 bytes of JSON.
    answer: JsonValue


class Sent(BaseModel):
    """What became of a request: `accepted` once it stands in the row, `sent` while it is on its way."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SENT]})

    request_id: UUID
    state: State


_SENT: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": Sent, "description": "It is on its way; the flow's status shows it once it arrived."}
}

Wait = Annotated[
    float, Query(ge=0, le=_LONGEST_WAIT_S, description="Seconds to wait until the row has the request.")
]
Why = Annotated[Ask | None, Body()]


@router.post(
    _FLOW + "/cancel",
    name=TELL.format(action="cancel"),
    summary="Cancel",
    response_model=Sent,
    responses=_SENT,
)
async def cancel(
    request: Request, viewer: Controller, flow_id: UUID, *, body: Why = None, wait_s: Wait = WAIT_S
) -> Response:
    """Ask a flow to stop: it ends as cancelled where its code allows it, at once if no process has it."""
    return await _send(request, viewer, flow_id, action="cancel", body=body or Ask(), wait_s=wait_s)


@router.post(
    _FLOW + "/pause",
    name=TELL.format(action="pause"),
    summary="Pause",
    response_model=Sent,
    responses=_SENT,
)
async def pause(
    request: Request, viewer: Controller, flow_id: UUID, *, body: Why = None, wait_s: Wait = WAIT_S
) -> Response:
    """Ask a flow to wait, where its code allows that, until it is resumed or cancelled."""
    return await _send(request, viewer, flow_id, action="pause", body=body or Ask(), wait_s=wait_s)


@router.post(
    _FLOW + "/resume",
    name=TELL.format(action="resume"),
    summary="Resume",
    response_model=Sent,
    responses=_SENT,
)
async def resume(
    request: Request, viewer: Controller, flow_id: UUID, *, body: Why = None, wait_s: Wait = WAIT_S
) -> Response:
    """Let a paused flow go on."""
    return await _send(request, viewer, flow_id, action="resume", body=body or Ask(), wait_s=wait_s)


@router.post(
    _FLOW + "/fail",
    name=TELL.format(action="fail"),
    summary="Fail",
    response_model=Sent,
    responses=_SENT,
)
async def fail(
    request: Request, viewer: Controller, flow_id: UUID, *, body: Why = None, wait_s: Wait = WAIT_S
) -> Response:
    """Close a flow whose process is gone: it is failed, with an error that says who closed it."""
    return await _send(request, viewer, flow_id, action="fail", body=body or Ask(), wait_s=wait_s)


@router.post(
    _FLOW + "/answer",
    name=TELL.format(action="answer"),
    summary="Answer",
    response_model=Sent,
    responses=_SENT,
)
async def answer(
    request: Request, viewer: Controller, flow_id: UUID, *, body: AnswerTo, wait_s: Wait = WAIT_S
) -> Response:
    """Answer what a flow asks; the first answer counts."""
    return await _send(request, viewer, flow_id, action="answer", body=body, wait_s=wait_s)


async def _send(
    request: Request, viewer: Viewer, flow_id: UUID, *, action: Action, body: Ask, wait_s: float
) -> Response:
    asked = NewRequest(
        action=action,
        by=viewer.user_id,
        request_id=body.request_id or uuid7(to_microseconds(clock.tick())),
        reason=body.reason,
        question=body.question if isinstance(body, AnswerTo) else None,
        answer=body.answer if isinstance(body, AnswerTo) else None,
    )
    state = await service_of(request).requests.send(viewer.scope, flow_id, asked, wait_s=wait_s)
    sent = Sent(request_id=asked.request_id, state=state)
    code = 200 if state == "accepted" else 202
    return Response(sent.model_dump_json(), code, media_type="application/json")
