"""The HTTP API of one flow against others: what is usual, two side by side, and its lists as files."""

import json
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.status.api.access import SignedIn
from masterflow.status.api.problems import described
from masterflow.status.api.safe_route import SafeRoute
from masterflow.status.flow.compare import Comparison, comparison_of
from masterflow.status.flow.details import FlowDetails, read_details
from masterflow.status.flow.export import TableName, csv_of
from masterflow.status.flow.usual import Usual
from masterflow.status.manager import FlowStatusManager
from masterflow.status.service import database_of, service_of

_FLOW: Final = "/flows/{flow_id}"
_CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "One list, with a line of names.",
        "content": {"text/csv": {"example": "cause,errors\r\nno answer within # s,3\r\n"}},
    }
}

#: Names of the routes that the page leads to; no route of the application around has them.
EXPORT: Final = "masterflow-export"
EXPORT_CSV: Final = "masterflow-export-csv"

#: Part of the router of the API.
router = APIRouter(route_class=SafeRoute, responses=described(404))


async def details_of(
    request: Request, viewer: SignedIn, db: Annotated[AsyncSession, Depends(database_of)], flow_id: UUID
) -> FlowDetails:
    """Return all that there is to read of the flow in the path."""
    return await details_for(request, viewer, db, flow_id)


async def details_for(request: Request, viewer: SignedIn, db: AsyncSession, flow_id: UUID) -> FlowDetails:
    """Return all that there is to read of a flow that a viewer may see."""
    service = service_of(request)
    return await read_details(FlowStatusManager(db, viewer.scope, service.redis), flow_id, service.past)


Details = Annotated[FlowDetails, Depends(details_of)]


@router.get(f"{_FLOW}/usual", response_model=Usual)
async def read_usual(details: Details) -> Response:
    """Tell how long a flow and its phases take against others, and how much longer it may take."""
    return Response(details.usual.model_dump_json(), media_type="application/json")


@router.get(f"{_FLOW}/compare", response_model=Comparison)
async def compare(
    request: Request,
    viewer: SignedIn,
    db: Annotated[AsyncSession, Depends(database_of)],
    details: Details,
    other: Annotated[UUID, Query(description="The flow to compare with.")],
) -> Response:
    """Put two flows side by side: their phases, causes of errors, agents and totals."""
    found = comparison_of(details, await details_for(request, viewer, db, other))
    return Response(found.model_dump_json(), media_type="application/json")


@router.get(f"{_FLOW}/export.json", name=EXPORT, summary="Export", response_model=dict[str, Any])
async def export(details: Details) -> Response:
    """Give all that there is to read of a flow as one JSON file."""
    return Response(
        json.dumps(details.as_json(), ensure_ascii=False),
        media_type="application/json",
        headers=_as_file(f"flow-{details.status.flow_id}.json"),
    )


@router.get(
    f"{_FLOW}/export.csv",
    name=EXPORT_CSV,
    summary="Export A List",
    response_class=Response,
    responses=_CSV,
    response_model=None,
)
async def export_csv(
    details: Details, table: Annotated[TableName, Query(description="Which list.")] = "phases"
) -> Response:
    """Give one list of a flow as CSV; texts that a spreadsheet could take for a formula begin with `'`."""
    return Response(
        csv_of(details, table).encode(),
        media_type="text/csv; charset=utf-8",
        headers=_as_file(f"flow-{details.status.flow_id}-{table}.csv"),
    )


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
