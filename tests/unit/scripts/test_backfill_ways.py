import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain import DatabaseUnavailable
from masterflow.repository.backfill.reads import Scope
from masterflow.scripts.maintenance import backfill_ways
from masterflow.scripts.maintenance.backfill_ways import Direct
from masterflow.tasks.backfill.catch_up import BackfillOptions, BackfillSummary

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def pages() -> AsyncIterator[list[UUID]]:
    for _ in range(3):
        yield [uuid4()]


async def counted(summaries: AsyncIterator[BackfillSummary], into: list[BackfillSummary]) -> None:
    async for summary in summaries:
        into.append(summary)


async def interrupted_in(
    catch_up: Callable[[], BackfillSummary], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int]:
    """Return how many pages were caught up, and counted, by a run that is interrupted within the first."""
    begun, goes_on, calls = asyncio.Event(), asyncio.Event(), 0

    async def page(*_: object) -> BackfillSummary:
        nonlocal calls
        calls += 1
        begun.set()
        await goes_on.wait()
        return catch_up()

    monkeypatch.setattr(backfill_ways, "catch_up", page)
    found: list[BackfillSummary] = []
    way: Any = Direct(None, Scope(), BackfillOptions())  # type: ignore[arg-type]  # no page asks it
    run = asyncio.create_task(counted(way.summaries(pages()), found))
    await begun.wait()
    run.cancel()
    await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    return calls, len(found)


async def test_a_page_that_is_interrupted_is_finished_and_counted_and_no_other_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await interrupted_in(lambda: BackfillSummary(changed=1), monkeypatch) == (1, 1)


async def test_a_page_that_fails_while_interrupted_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> BackfillSummary:
        raise DatabaseUnavailable("A row is locked.")

    assert await interrupted_in(fail, monkeypatch) == (1, 0)
