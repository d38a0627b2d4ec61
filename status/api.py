"""The HTTP API: flows, their details and their changes, as JSON, scoped by the token of whoever asks."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from domain.statuses import FlowStatus as FlowStatusName
from repository.status_reads import FlowFilter
from status.access import SignedIn
from status.event_stream import EventStream, open_stream
from status.manager import FlowStatusManager
from status.problems import RESPONSES
from status.routes import SafeRoute
from status.service import database_of, lifespan, service_of
from status.views import Activity, Errors, FlowList, FlowStatus, Timeline

_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "`flow` with a summary; `ready`, `reset`, `unavailable`, `available`, `expired`.",
        "content": {
            "text/event-stream": {"example": 'id: 5c1a-17-1\nevent: flow\ndata: {"flow_id": "…"}\n\n'}
        },
    }
}

#: Mount it with `app.include_router(router)`; the environment says which database it reads.
router = APIRouter(
    prefix="/api/v1", route_class=SafeRoute, tags=["flows"], responses=RESPONSES, lifespan=lifespan
)

Word = Annotated[str | None, Query(min_length=1, max_length=200)]


async def manager_of(
    viewer: SignedIn, db: Annotated[AsyncSession, Depends(database_of)]
) -> FlowStatusManager:
    """Return a manager that sees what the viewer may see."""
    return FlowStatusManager(db, viewer.scope)


Manager = Annotated[FlowStatusManager, Depends(manager_of)]


async def filter_of(
    *,
    status: Annotated[list[FlowStatusName] | None, Query(description="One or more statuses.")] = None,
    flow_type: Annotated[str | None, Query(alias="type", min_length=1, max_length=50)] = None,
    phase: Word = None,
    since: Annotated[datetime | None, Query(description="Created then or later.")] = None,
    text: Word = None,
) -> FlowFilter:
    """Return the filter that a query stands for; a time without an offset is UTC."""
    clean = text.replace("\0", "") if text else None
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return FlowFilter(
        statuses=tuple(status or ()),
        flow_type=flow_type.replace("\0", "") if flow_type else None,
        flow_id=_as_flow_id(clean),
        phase=phase.replace("\0", "") if phase else None,
        since=since,
        text=clean or None,
    )


@router.get("/flows", response_model=FlowList)
async def list_flows(
    manager: Manager,
    wanted: Annotated[FlowFilter, Depends(filter_of)],
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """List flows, newest first; a page may be short, and the list goes on while there is a `next_cursor`."""
    return _json(await manager.list_flows(wanted, cursor=cursor, limit=limit))


@router.get("/flows/{flow_id}/status", response_model=FlowStatus)
async def read_status(manager: Manager, flow_id: UUID, *, include_details: bool = False) -> Response:
    """Tell what a flow is doing; with `include_details`, also its child row in a few words."""
    return _json(await manager.get_flow_status(flow_id, include_details))


@router.get("/flows/{flow_id}/timeline", response_model=Timeline)
async def read_timeline(manager: Manager, flow_id: UUID) -> Response:
    """Tell when which phase ran, waited and ended."""
    return _json(await manager.get_timeline(flow_id))


@router.get("/flows/{flow_id}/errors", response_model=Errors)
async def read_errors(manager: Manager, flow_id: UUID) -> Response:
    """Tell what failed, newest first."""
    return _json(await manager.get_errors(flow_id))


@router.get("/flows/{flow_id}/activity", response_model=Activity)
async def read_activity(manager: Manager, flow_id: UUID) -> Response:
    """Tell what the agents did, newest first, and what was measured."""
    return _json(await manager.get_activity(flow_id))


@router.get("/events", status_code=200, responses=_STREAM, response_class=EventStream, response_model=None)
async def follow_all(request: Request, viewer: SignedIn) -> EventStream:
    """Follow all flows: an event within a second of each commit; `Last-Event-ID` goes on after that one."""
    return await open_stream(request, viewer)


@router.get(
    "/flows/{flow_id}/events",
    status_code=200,
    responses=_STREAM,
    response_class=EventStream,
    response_model=None,
)
async def follow_one(request: Request, viewer: SignedIn, flow_id: UUID) -> EventStream:
    """Follow one flow."""
    async with service_of(request).sessions() as db:
        await FlowStatusManager(db, viewer.scope).get_flow_status(flow_id)
    return await open_stream(request, viewer, flow_id)


@router.get("/openapi.json", include_in_schema=False)
async def describe(request: Request, _viewer: SignedIn) -> dict[str, Any]:
    """Give the OpenAPI document of the application."""
    document: dict[str, Any] = request.app.openapi()
    return document


def _json(model: BaseModel) -> Response:
    """Return a model as it prints itself; FastAPI would validate it once more."""
    return Response(model.model_dump_json(), media_type="application/json")


def _as_flow_id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
