"""The page that puts two flows side by side."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import flow_uuid
from masterflow.repository.status.wanted import FlowFilter
from masterflow.status.api.access import SignedIn
from masterflow.status.api.details import details_for
from masterflow.status.flow.compare import comparison_of
from masterflow.status.manager import FlowStatusManager
from masterflow.status.page.rendering import render
from masterflow.status.service import database_of

_MOST_OFFERED = 20


async def compare_page(
    request: Request,
    viewer: SignedIn,
    db: Annotated[AsyncSession, Depends(database_of)],
    flow_id: UUID,
    other: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Show two flows side by side, or first ask with which one."""
    details = await details_for(request, viewer, db, flow_id)
    manager = FlowStatusManager(db, viewer.scope)
    wanted = FlowFilter(flow_type=details.status.flow_type)
    offered = (await manager.list_flows(wanted, limit=_MOST_OFFERED)).flows
    found = None
    if other.strip():
        found = comparison_of(details, await details_for(request, viewer, db, flow_uuid(other.strip())))
    return render(
        request,
        "compare.html",
        flow=details.status,
        offered=[one for one in offered if one.flow_id != flow_id],
        found=found,
        other=other,
    )
