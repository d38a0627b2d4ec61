"""Pictures of the README; `PICTURES=docs/images pytest --long tests/browser/test_pictures.py` draws them."""

import base64
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    ErrorOccurred,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    UsageReported,
)
from masterflow.domain.usage.amounts import Usage, UsageCounted
from tests.support.events.reported_flows import Told, flow_of, report

OpenPage = Callable[..., Page]
Do = Callable[[Any], Any]

_README = Path(__file__).parents[2] / "README.md"
_PHASES = ("data_import", "field_mapping", "data_cleansing", "asset_inventory", "dependency_analysis")
_MOST_BYTES = 60_000


@pytest.mark.long
def test_the_readme_shows_the_overview_and_a_flow_as_they_look_by_day_and_by_night(
    open_page: OpenPage, do: Do, context: FlowContext, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("PICTURES", tmp_path))
    shown = do(lambda sessions: _two_days(sessions, context))
    drawn = set()
    for scheme in ("light", "dark"):
        look = {"color_scheme": scheme, "viewport": {"width": 1000, "height": 900}}
        page = open_page("/fleet", **look)
        for path, name in (("/fleet", "overview"), (f"/flows/{shown}", "flow")):
            page.goto(path)
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            picture = folder / f"{name}-{scheme}.webp"
            _draw(page, picture)
            drawn.add(picture.name)
            assert picture.stat().st_size < _MOST_BYTES
    assert set(re.findall(r"docs/images/([\w.-]+)", _README.read_text())) == drawn


def _draw(page: Page, picture: Path) -> None:
    """Keep what is seen of a page; Playwright itself draws no WebP, a third of the size."""
    how = {"format": "webp", "quality": 85}
    drawn = page.context.new_cdp_session(page).send("Page.captureScreenshot", how)
    picture.write_bytes(base64.b64decode(drawn["data"]))


async def _two_days(sessions: Any, context: FlowContext) -> UUID:
    """Make what two ordinary days leave, and a flow that is slower than usual; return that one."""
    fates = ("completed",) * 7 + ("failed", "cancelled")
    now = datetime.now(UTC)
    for n in range(50):
        began_at = now - timedelta(minutes=15 + 57 * n - 11 * (n % 4))
        await _one_of_many(sessions, context, began_at, n, fates[n * 4 % 9])
    for status, ago_min in (("waiting_for_approval", 41), ("processing", 12)):
        flow_id = await flow_of(sessions, context)
        at = now - timedelta(minutes=ago_min)
        await report(sessions, context, flow_id, (StatusChanged, {"status": status, "occurred_at": at}))
        await _created(sessions, flow_id, "Inventory of the south", at)
    return await _slow_one(sessions, context, now - timedelta(seconds=280))


async def _one_of_many(sessions: Any, context: FlowContext, began_at: datetime, n: int, status: str) -> None:
    story: list[Told] = []
    at = began_at
    for place, phase in enumerate(_PHASES[: 2 if status == "failed" else 5]):
        # What took longer yesterday, and what takes longer today.
        slower = 1.5 if (n < 25) == (place % 2 == 0) else 1.0
        took_s = 14.0 * (place + 1) * (1 + n % 5 / 9) * slower
        at += timedelta(seconds=took_s)
        story.append((PhaseTimed, {"phase": phase, "execution_time_ms": took_s * 1000, "occurred_at": at}))
    if status == "failed":
        error = (
            f"TimeoutError: no answer from 10.0.0.{n} within {n} s"
            if n % 3
            else "ValueError: row 7 has no owner"
        )
        story.append((ErrorOccurred, {"phase": "field_mapping", "error": error, "occurred_at": at}))
    story.append((StatusChanged, {"status": status, "occurred_at": at}))
    flow_id = await flow_of(sessions, context)
    await report(sessions, context, flow_id, *story)
    await _created(sessions, flow_id, "Inventory of a branch", began_at)


async def _slow_one(sessions: Any, context: FlowContext, began_at: datetime) -> UUID:
    def at(after_s: float) -> dict[str, datetime]:
        return {"occurred_at": began_at + timedelta(seconds=after_s)}

    amounts = Usage(42, 61_000, 9_400, 312_000_000, 0)
    counted = UsageCounted(by="process-0001", agent=amounts, flow=amounts)
    story: list[Told] = [(StatusChanged, {"status": "processing", **at(0)})]
    for phase, status, after_s in (
        ("data_import", "processing", 1),
        ("data_import", "completed", 26),
        ("field_mapping", "processing", 26),
        ("field_mapping", "failed", 61),
        ("field_mapping", "processing", 64),
        ("field_mapping", "completed", 97),
        ("data_cleansing", "processing", 97),
    ):
        story.append((PhaseTransitioned, {"phase": phase, "status": status, **at(after_s)}))
    story += [
        (PhaseTimed, {"phase": "data_import", "execution_time_ms": 25_000.0, **at(26)}),
        (PhaseTimed, {"phase": "field_mapping", "execution_time_ms": 33_000.0, **at(97)}),
        (ErrorOccurred, {"phase": "field_mapping", "error": "TimeoutError: no answer within 30 s", **at(61)}),
        (
            UsageReported,
            {"agent": "Schema Expert", "model": "small-model", "used": amounts, "counted": counted},
        ),
        (ProgressReported, {"snapshot": {"progress_percentage": 48, "message": "Cleansing 12,400 rows"}}),
    ]
    flow_id = await flow_of(sessions, context)
    await report(sessions, context, flow_id, *story)
    await _created(sessions, flow_id, "Inventory of the north", began_at)
    return flow_id


async def _created(sessions: Any, flow_id: UUID, name: str, at: datetime) -> None:
    named = (
        "update migration.crewai_flow_state_extensions set flow_name = :name, created_at = :at"
        " where flow_id = :flow_id"
    )
    async with sessions.begin() as db:
        await db.execute(text(named), {"name": name, "at": at, "flow_id": flow_id})
