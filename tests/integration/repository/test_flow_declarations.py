import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.events import (
    AnyEvent,
    FlowDeclared,
    PhaseTransitioned,
    StatusChanged,
    new_event,
)
from masterflow.domain.ids import flow_uuid
from masterflow.domain.tenant import flow_context
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.merge.merges import apply_events
from tests.support.events.flows import bytes_of, new_context, new_flow

CONTEXT = new_context()
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


def declared(flow_id: UUID, second: int = 0, **fields: Any) -> AnyEvent:
    words = {"flow_type": "assessment", "flow_name": "ours", "flow_configuration": {"depth": 3}} | fields
    return new_event(FlowDeclared, CONTEXT, flow_id, occurred_at=BEGIN + timedelta(seconds=second), **words)


def started(flow_id: UUID, second: int) -> AnyEvent:
    at = BEGIN + timedelta(seconds=second)
    return new_event(
        PhaseTransitioned, CONTEXT, flow_id, occurred_at=at, phase="data_import", status="processing"
    )


async def words_of(session: AsyncSession, flow_id: UUID) -> dict[str, Any]:
    rows = await session.execute(
        text(
            "select flow_type, flow_name, flow_status, flow_configuration, user_id, client_account_id,"
            " flow_persistence_data from migration.crewai_flow_state_extensions where flow_id = :flow_id"
        ),
        {"flow_id": flow_id},
    )
    return dict(rows.mappings().one())


async def test_a_declared_flow_gets_its_row_and_what_came_with_it(session: AsyncSession) -> None:
    flow_id = uuid4()
    outcome = await apply_events(session, [started(flow_id, 1), declared(flow_id)])
    assert not outcome.missing
    assert await words_of(session, flow_id) == {
        "flow_type": "assessment",
        "flow_name": "ours",
        "flow_status": "initialized",
        "flow_configuration": {"depth": 3},
        "user_id": CONTEXT.user_id,
        "client_account_id": CONTEXT.client_account_id,
        "flow_persistence_data": {"current_phase": "data_import"},
    }


def noted(event: AnyEvent) -> dict[str, str]:
    """What a merge notes of a declaration: the status that the row had, and when the flow was heard of."""
    kept = f'{{"newest": "{event.stamp}", "status": {{"wrote": "initialized"}}}}'
    return {"flow_metadata": f'{{"_enrichment": {kept}}}'}


async def test_a_declaration_changes_nothing_of_a_row_that_the_application_made(
    session: AsyncSession,
) -> None:
    flow_id = await new_flow(session, CONTEXT)
    words, columns = await words_of(session, flow_id), dict(await bytes_of(session, flow_id))
    event = declared(flow_id)
    outcome = await apply_events(session, [event])
    assert await words_of(session, flow_id) == words
    assert await bytes_of(session, flow_id) == columns | noted(event)
    later = declared(flow_id, 1)
    await apply_events(session, [later])
    assert await bytes_of(session, flow_id) == columns | noted(later)
    assert not outcome.foreign


async def test_declarations_in_any_order_and_number_end_in_the_same_row(session: AsyncSession) -> None:
    made: set[str] = set()
    flow_id = uuid4()
    done = new_event(
        StatusChanged, CONTEXT, flow_id, status="completed", occurred_at=BEGIN + timedelta(seconds=9)
    )
    events = [
        declared(flow_id, 0, flow_name="first"),
        declared(flow_id, 1, flow_name="second", flow_type="finops", flow_configuration={}),
        started(flow_id, 2),
        done,
    ]
    for order in itertools.permutations(events):
        waiting, turns = list(order), 0
        while waiting and turns < 10:
            event, turns = waiting.pop(0), turns + 1
            outcome = await apply_events(session, [event])
            # A worker parks what has no row yet.
            waiting += [event] if outcome.missing else []
        await apply_events(session, list(order))
        made.add(repr((await words_of(session, flow_id), dict(await bytes_of(session, flow_id)))))
        await session.rollback()
    assert len(made) == 1
    assert "'flow_name': 'first'" in made.pop()


async def test_a_flow_of_another_tenant_is_foreign_and_stays_as_it_is(session: AsyncSession) -> None:
    theirs = new_context()
    flow_id = await new_flow(session, theirs)
    outcome = await apply_events(session, [declared(flow_id)])
    assert outcome.foreign == {flow_id}
    assert (await words_of(session, flow_id))["client_account_id"] == theirs.client_account_id


async def test_one_flow_declared_for_two_engagements_belongs_to_the_first(session: AsyncSession) -> None:
    flow_id, other = uuid4(), flow_context(CONTEXT.client_account_id, uuid4(), "bob")
    late = new_event(
        FlowDeclared, other, flow_id, flow_type="finops", occurred_at=BEGIN + timedelta(seconds=1)
    )
    outcome = await apply_events(session, [late, declared(flow_id)])
    assert outcome.foreign == {flow_id}
    assert (await words_of(session, flow_id))["flow_type"] == "assessment"


async def test_ids_and_names_of_any_kind_name_one_row(session: AsyncSession) -> None:
    repo = CrewAIFlowStateExtensionsRepository(
        session, CONTEXT.client_account_id, CONTEXT.engagement_id, "u" * 300
    )
    made = await repo.create_master_flow("my-run-7", "discovery", flow_name="n" * 300)
    assert made.flow_id == flow_uuid("my-run-7")
    assert made.flow_metadata == {"external_flow_id": "my-run-7"}
    assert made.flow_name is not None
    assert len(made.flow_name) == 255
    assert len(made.user_id) == 255
    await repo.add_phase_transition("my-run-7", "p" * 300, "s" * 300)
    row = await repo.get_by_flow_id("my-run-7")
    assert row is not None
    [entry] = row.phase_transitions or []
    assert entry["phase"].startswith("ppp")
    assert (len(entry["phase"]), len(entry["status"])) == (100, 40)
