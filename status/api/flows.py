"""The HTTP API: flows, their details and their changes, as JSON, scoped by the token of whoever asks."""

from dataclasses import replace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.status.api import control, details, fleet
from masterflow.status.api.access import SignedIn
from masterflow.status.api.event_stream import EventStream, open_stream
from masterflow.status.api.list_query import AskedPart, Cursor, ListCursor, declared, words_of
from masterflow.status.api.problems import described
from masterflow.status.api.safe_route import SafeRoute
from masterflow.status.control.views import Inbox
from masterflow.status.listing.asked import filter_of, sort_of
from masterflow.status.listing.counts import FlowCounts
from masterflow.status.manager import FlowStatusManager
from masterflow.status.service import database_of, lifespan, service_of
from masterflow.status.views import Activity, Errors, FlowList, FlowStatus, Timeline

_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "`flow` with a summary; `ready`; `reset`, if too much was missed; `unavailable` and"
        " `available`, with the `server` that went or is back; `expired`, with the token.",
        "content": {
            "text/event-stream": {"example": 'id: 5c1a-17-1\nevent: flow\ndata: {"flow_id": "…"}\n\n'}
        },
    }
}

_OF_ONE_FLOW: Final = described(404)

#: Names of the routes that the page follows; no route of the application around has them.
EVENTS: Final = "masterflow-events"
FLOW_EVENTS: Final = "masterflow-flow-events"

#: Mount it with `app.include_router(router)`; the environment says which database it reads.
router = APIRouter(
    prefix="/api/v1",
    route_class=SafeRoute,
    tags=["flows"],
    responses=described(401, 422, 429, 503),
    lifespan=lifespan,
)
router.include_router(control.router)
router.include_router(fleet.router)
router.include_router(details.router)


LastEventId = Annotated[str, Header(description="The `id` of the last event that was seen.")]


async def manager_of(
    request: Request, viewer: SignedIn, db: Annotated[AsyncSession, Depends(database_of)]
) -> FlowStatusManager:
    """Return a manager that sees what the viewer may see."""
    return FlowStatusManager(db, viewer.scope, service_of(request).redis)


Manager = Annotated[FlowStatusManager, Depends(manager_of)]


@router.get("/flows", response_model=FlowList, dependencies=[Depends(declared)], responses=described(409))
async def list_flows(
    request: Request,
    manager: Manager,
    cursor: ListCursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """List flows, the newest first, or the greatest by `sort`; a page may be short.

    Looking for flows takes at most about 50 ms a page: the list goes on while there is a `next_cursor`, and
    only where it is `complete` there is nothing more to find. Besides the parameters below,
    `meta.KEY=VALUE` asks for a key of `flow_metadata`, or a path with dots.
    """
    words = words_of(request)
    found = await manager.list_flows(filter_of(words), sort=sort_of(words), cursor=cursor, limit=limit)
    return _json(found)


@router.get("/flows/counts", response_model=FlowCounts, dependencies=[Depends(declared)])
async def count_flows(request: Request, manager: Manager) -> Response:
    """Count the flows that the list would find: by status and type, how they stand, and what failed.

    Looking takes about 50 ms: where `at_least` is true, only the newest `searched` were looked at.
    """
    return _json(await manager.count_flows(filter_of(words_of(request))))


@router.get("/flows/{flow_id}/status", response_model=FlowStatus, responses=_OF_ONE_FLOW)
async def read_status(manager: Manager, flow_id: UUID, *, include_details: bool = False) -> Response:
    """Tell what a flow is doing; with `include_details`, also its child row in a few words."""
    return _json(await manager.get_flow_status(flow_id, include_details))


@router.get("/flows/{flow_id}/timeline", response_model=Timeline, responses=_OF_ONE_FLOW)
async def read_timeline(manager: Manager, flow_id: UUID, part: AskedPart) -> Response:
    """Tell when which phase ran, waited and ended; transitions may be asked for in parts."""
    return _json(part.of_timeline(await manager.get_timeline(flow_id)))


@router.get("/flows/{flow_id}/errors", response_model=Errors, responses=_OF_ONE_FLOW)
async def read_errors(request: Request, manager: Manager, flow_id: UUID, part: AskedPart) -> Response:
    """Tell what failed, newest first: all of it, or a part."""
    return _json(_traceable(part.of_errors(await manager.get_errors(flow_id)), request))


@router.get("/flows/{flow_id}/activity", response_model=Activity, responses=_OF_ONE_FLOW)
async def read_activity(
    request: Request,
    manager: Manager,
    flow_id: UUID,
    part: AskedPart,
    agent: Annotated[str, Query(max_length=200, description="Only what this agent did.")] = "",
) -> Response:
    """Tell what the agents did, newest first, all of it or a part, and what was measured."""
    asked = replace(part, agent=agent)
    return _json(_traceable(asked.of_activity(await manager.get_activity(flow_id)), request))


@router.get(
    "/events",
    name=EVENTS,
    summary="Follow All",
    status_code=200,
    responses=_STREAM,
    response_class=EventStream,
    response_model=None,
)
async def follow_all(request: Request, viewer: SignedIn, *, last_event_id: LastEventId = "") -> EventStream:
    """Follow all flows: an event within a second of each commit; `Last-Event-ID` goes on after that one."""
    return await open_stream(request, viewer, last_event_id=last_event_id)


@router.get(
    "/flows/{flow_id}/events",
    name=FLOW_EVENTS,
    summary="Follow One",
    status_code=200,
    responses=_STREAM | _OF_ONE_FLOW,
    response_class=EventStream,
    response_model=None,
)
async def follow_one(
    request: Request, viewer: SignedIn, flow_id: UUID, *, last_event_id: LastEventId = ""
) -> EventStream:
    """Follow one flow, as above."""
    async with service_of(request).sessions() as db:
        await FlowStatusManager(db, viewer.scope).get_flow_status(flow_id)
    return await open_stream(request, viewer, flow_id, last_event_id=last_event_id)


@router.get("/inbox", response_model=Inbox)
async def read_inbox(
    manager: Manager, cursor: Cursor = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> Response:
    """List the flows that wait for somebody, those that wait longest first, with the questions they ask."""
    return _json(await manager.get_inbox(cursor=cursor, limit=limit))


@router.get("/openapi.json", include_in_schema=False)
async def describe(request: Request, _viewer: SignedIn) -> dict[str, Any]:
    """Give the OpenAPI document of the application."""
    document: dict[str, Any] = request.app.openapi()
    return document


def _traceable(view: Errors | Activity, request: Request) -> Errors | Activity:
    return view.model_copy(update={"trace_url": service_of(request).settings.trace_url})


def _json(model: BaseModel) -> Response:
    """Return a model as it prints itself; FastAPI would validate it once more."""
    return Response(model.model_dump_json(), media_type="application/json")
