"""`flowctl fleet`: counts, durations, causes of errors and usage of engagements' flows in a window."""

from typing import TYPE_CHECKING, Annotated

import typer

from masterflow.scripts.flowctl.options import (
    AllEngagements,
    AsJson,
    Client,
    Engagements,
    chosen_engagements,
)
from masterflow.scripts.flowctl.output import print_json

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from masterflow.domain.fleet.windows import WindowName
    from masterflow.status.fleet.views import FleetView


def _windows() -> list[str]:
    from masterflow.domain.fleet.windows import WINDOW_NAMES

    return list(WINDOW_NAMES)


def fleet(
    *,
    client: Client,
    engagement: Engagements = None,
    all_engagements: AllEngagements = False,
    window: Annotated[
        str, typer.Option(help="hour, day, week or month.", autocompletion=_windows, show_default=True)
    ] = "day",
    as_json: AsJson = False,
) -> None:
    """Tell what all flows of engagements do: how they stand, what failed, what is slow, what it costs.

    It reads the flows that began within 61 days, about 10,000 in a second.
    """  # noqa: DOC501
    from masterflow.domain.fleet.windows import WINDOW_NAMES
    from masterflow.scripts.database import with_engine
    from masterflow.scripts.flowctl.fleet.lines import print_fleet

    chosen = next((name for name in WINDOW_NAMES if name == window), None)
    if chosen is None:
        raise typer.BadParameter(f"--window takes one of {', '.join(WINDOW_NAMES)}.")

    engagements = chosen_engagements(engagement, are_all=all_engagements)

    async def read(engine: "AsyncEngine") -> "FleetView":
        return await _read(engine, client, engagements, window=chosen)

    view = with_engine(read)
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        print_fleet(view)


async def _read(
    engine: "AsyncEngine", client: "UUID", engagements: "frozenset[UUID] | None", *, window: "WindowName"
) -> "FleetView":
    from masterflow.repository.database import session_factory
    from masterflow.repository.redis.client import RedisUnavailable, redis_link
    from masterflow.repository.redis.holders import read_holders
    from masterflow.repository.rights.row_security import check_sight
    from masterflow.repository.status.fleet import FleetRows
    from masterflow.status.fleet.book import FleetBook
    from masterflow.status.fleet.overview import overview_of

    sessions = session_factory(engine)
    book = FleetBook(FleetRows(sessions, client))
    await book.read_all()
    if not book.tiles:
        async with sessions() as db:
            await check_sight(db)
    async with redis_link() as redis:
        try:
            holders = await read_holders(redis)
        except RedisUnavailable:
            holders = None
    return overview_of(book, engagements, window=window, holders=holders)
