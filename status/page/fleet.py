"""The first page: what all flows do, with everything that the list can show a link into it."""

from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.fleet.windows import WINDOW_NAMES, WindowName
from masterflow.status.api.access import SignedIn
from masterflow.status.api.fleet import fleet_of
from masterflow.status.fleet.views import BarCounts
from masterflow.status.fleet.words import SLOWER
from masterflow.status.page.rendering import render
from masterflow.status.page.roots import events_address
from masterflow.status.service import database_of, service_of

#: The picture of what began and ended: a bar is 16 wide with a gap of 4, and at most 100 high.
_BAR: Final = 20
_HEIGHT: Final = 100


async def fleet_page(
    request: Request,
    viewer: SignedIn,
    db: Annotated[AsyncSession, Depends(database_of)],
    window: str = "",
) -> Response:
    """Show the overview; a window that there is not is a day."""
    chosen: WindowName = next((name for name in WINDOW_NAMES if name == window), "day")
    view = await fleet_of(service_of(request), viewer, db, window=chosen)
    return render(
        request,
        "fleet.html",
        events=events_address(request),
        view=view,
        windows=WINDOW_NAMES,
        slower=SLOWER,
        chart=chart_of(view.over_time),
        # What began in the window or in a bar of it, ended, ran or failed, as the list is asked for it.
        listed=lambda name, since=view.window.since, until=None, **wanted: urlencode(
            wanted | _times(name, since, until)
        ),
        bar_ends=[*(bar.at for bar in view.over_time[1:]), None],
        is_empty=not (view.now.by_status or view.started_by_status or view.failure_rate is not None),
    )


def _times(name: str, since: datetime, until: datetime | None) -> dict[str, str]:
    """Return the words for a time: of creation with the name "", else of what is called so."""
    times = {"since": since.isoformat()} | ({"until": until.isoformat()} if until else {})
    return {f"{name}_{word}" if name else word: at for word, at in times.items()}


def chart_of(bars: list[BarCounts]) -> dict[str, Any]:
    """Return the picture's width, its highest number, and its bars in units of it.

    Each bar has a thin one for what began beside those for what completed, failed and was cancelled.
    """
    most = max((max(one.started, one.completed + one.failed + one.cancelled) for one in bars), default=0)
    return {
        "most": most,
        "width": len(bars) * _BAR,
        "height": _HEIGHT,
        "bars": [{"x": number * _BAR, "counts": one, **_parts(one, most)} for number, one in enumerate(bars)],
    }


def _parts(one: BarCounts, most: int) -> dict[str, Any]:
    """Return the height of what began, and the place and height of each end, from the top."""
    unit = _HEIGHT / most if most else 0
    ends, top = [], float(_HEIGHT)
    for status in ("completed", "failed", "cancelled"):
        height = round(getattr(one, status) * unit, 2)
        top = round(top - height, 2)
        ends.append({"status": status, "y": top, "height": height})
    return {"started": round(one.started * unit, 2), "ends": ends}
