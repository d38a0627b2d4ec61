from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.flow_types.catalog import SPECIFICATIONS
from masterflow.domain.ids import flow_uuid
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.status.wanted import FlowFilter
from masterflow.status.manager import FlowStatusManager
from masterflow.tracker.hooks import phase
from masterflow.tracker.testing import flow_reports
from masterflow.tracker.tracker import create_progress_tracker
from tests.support.events.flows import new_context

CONTEXT = new_context()


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


async def shown(session: AsyncSession, flow_id: UUID | str) -> float | None:
    """Return the progress that list and status show."""
    manager = FlowStatusManager(session, CONTEXT)
    status = await manager.get_flow_status(flow_id)
    [listed] = [flow for flow in (await manager.list_flows()).flows if flow.flow_id == status.flow_id]
    assert listed.progress_percentage == status.progress_percentage
    return status.progress_percentage


@pytest.mark.parametrize("flow_type", SPECIFICATIONS)
async def test_the_progress_of_each_type_of_flow_is_that_of_its_phases(
    session: AsyncSession, flow_type: str
) -> None:
    flow_id, seen, phases = uuid4(), [], SPECIFICATIONS[flow_type].courses[-1]
    with flow_reports() as reports:
        create_progress_tracker(flow_id, CONTEXT, flow_type=flow_type, create=True)
        # The process that runs it knows nothing of the type.
        tracker = create_progress_tracker(flow_id, CONTEXT)
        for name in phases:
            with phase(name, flow=tracker):
                await apply_events(session, list(reports))
                seen.append(await shown(session, flow_id))
    if flow_type == "discovery":
        assert seen == list(range(0, 101, 10))
    else:
        assert seen == [round(100 * place / len(phases), 1) for place in range(len(phases))]


async def test_phases_of_ones_own_have_a_number_only_if_they_are_declared(session: AsyncSession) -> None:
    for declared, numbers in ((["collect", "score"], [0, 50]), ([], [None, None])):
        flow_id, seen = uuid4(), []
        with flow_reports() as reports:
            tracker = create_progress_tracker(
                flow_id, CONTEXT, flow_type="assessment", phases=declared, create=True
            )
            for name in ("collect", "score"):
                with phase(name, flow=tracker):
                    await apply_events(session, list(reports))
                    seen.append(await shown(session, flow_id))
        assert seen == numbers


async def test_a_progress_that_was_set_is_shown(session: AsyncSession) -> None:
    with flow_reports() as reports:
        tracker = create_progress_tracker("set", CONTEXT, flow_type="finops", create=True)
        tracker.set_progress(12.5, "sorting")
    await apply_events(session, list(reports))
    assert await shown(session, "set") == 12.5


async def test_a_flow_is_found_by_its_own_id_in_the_list(session: AsyncSession) -> None:
    with flow_reports() as reports:
        for name in ("nightly 7", "nightly 8"):
            create_progress_tracker(name, CONTEXT, flow_type="finops", create=True)
    await apply_events(session, list(reports))
    found = await FlowStatusManager(session, CONTEXT).list_flows(FlowFilter(text="nightly 7"))
    assert [flow.flow_id for flow in found.flows] == [flow_uuid("nightly 7")]
