"""The HTTP API of the fleet: what all flows that the viewer may see do together."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.fleet.windows import WindowName
from masterflow.repository.redis.client import RedisUnavailable
from masterflow.repository.redis.holders import Holders, read_holders
from masterflow.repository.rights.row_security import check_sight
from masterflow.status.access.tokens import Viewer
from masterflow.status.api.access import SignedIn
from masterflow.status.api.safe_route import SafeRoute
from masterflow.status.fleet.overview import overview_of
from masterflow.status.fleet.views import FleetView
from masterflow.status.service import StatusService, database_of, service_of

router = APIRouter(route_class=SafeRoute)


@router.get("/fleet", response_model=FleetView)
async def read_fleet(
    request: Request,
    viewer: SignedIn,
    db: Annotated[AsyncSession, Depends(database_of)],
    window: Annotated[
        WindowName, Query(description="The time to tell of; it begins at the start of a bar.")
    ] = "day",
) -> Response:
    """Tell what all flows do: how many stand how, how many failed, what is slow, what fails, what it costs.

    The numbers follow the rows by some seconds (`as_of`); right after a start they are being counted
    (`is_whole`).
    """
    view = await fleet_of(service_of(request), viewer, db, window=window)
    return Response(view.model_dump_json(), media_type="application/json")


async def fleet_of(
    service: StatusService, viewer: Viewer, db: AsyncSession, *, window: WindowName
) -> FleetView:
    """Return the overview of what a viewer may see."""
    book = await service.fleets.book(viewer.scope.client_account_id)
    if not book.tiles:
        await check_sight(db)
    holders = await holders_of(service)
    return overview_of(book, viewer.scope.engagement_ids, window=window, holders=holders)


async def holders_of(service: StatusService) -> Holders | None:
    """Return who holds flows; None where Redis does not answer."""
    try:
        return await read_holders(service.redis)
    except RedisUnavailable:
        return None
