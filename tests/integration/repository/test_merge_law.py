import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow.domain.events import AnyEvent
from masterflow.repository.database import session_factory
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.embedded import EmbeddedPostgres
from tests.support.events.flows import bytes_of, new_context, new_flow
from tests.support.events.reference_model import row_after
from tests.support.events.strategies import chance, event_sets, legacy_rows
from tests.support.servers.databases import engine_for, fill_with_tables, temporary_database
from tests.support.servers.debian import installed_program

_CONTEXT = new_context()
_COLUMN_BYTES = 256 * 1024

# In a map, a longer value is cut once enough newer keys stand.
_MOST_KEPT_WHOLE = 1_900


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=[18, 15], ids="PostgreSQL {}".format)
def engine_of_a_version(
    request: pytest.FixtureRequest, runner: asyncio.Runner, server_folder: Path, postgres_server: str
) -> Iterator[AsyncEngine]:
    with ExitStack() as stack:
        server_url = postgres_server
        if request.param == 15:
            programs = installed_program("postgresql-15", "postgres").resolve().parent
            server = EmbeddedPostgres(server_folder / "postgres-15", programs=programs, durable=False)
            server_url = stack.enter_context(server).url
            stack.callback(server.remove)
        url = stack.enter_context(temporary_database(server_url))
        fill_with_tables(url)
        engine = engine_for(url)
        yield engine
        runner.run(engine.dispose())


@st.composite
def schedules(draw: st.DrawFn, events: list[AnyEvent]) -> list[list[AnyEvent]]:
    """Draw a way to deliver the events: any order, some twice, in batches of any size."""
    random = draw(chance)
    delivered = events + random.choices(events, k=len(events) // 3)
    random.shuffle(delivered)
    size = draw(st.sampled_from([1, 2, 7, 50, 500])) if len(events) < 60 else draw(st.sampled_from([20, 90]))
    return [delivered[start : start + size] for start in range(0, len(delivered), size)]


async def _row_after(
    session: AsyncSession, before: dict[str, Any], batches: list[list[AnyEvent]]
) -> dict[str, Any]:
    flow_id = await new_flow(session, _CONTEXT, uuid4(), **before)
    for batch in batches:
        await apply_events(session, [event.model_copy(update={"flow_id": flow_id}) for event in batch])
    return dict(await bytes_of(session, flow_id))


async def _check(engine: AsyncEngine, before: dict[str, Any], schedule: list[list[list[AnyEvent]]]) -> None:
    async with session_factory(engine)() as session:
        rows = [await _row_after(session, before, batches) for batches in schedule]
        await session.rollback()
    for row in rows[1:]:
        assert row == rows[0]
    # What was in a row before keeps its size.
    if not before:
        sizes = {name: len(value.encode()) for name, value in rows[0].items() if isinstance(value, str)}
        assert max(sizes.values()) <= _COLUMN_BYTES


# The profile `deep` draws thousands.
@pytest.mark.timeout(900)
@settings(max_examples=max(200, settings().max_examples))
@given(data=st.data())
def test_any_order_repetition_and_batching_of_events_ends_in_the_same_row(
    runner: asyncio.Runner, engine_of_a_version: AsyncEngine, data: st.DataObject
) -> None:
    before = data.draw(st.one_of(st.just({}), legacy_rows()))
    events = data.draw(event_sets(_CONTEXT))
    in_order = sorted(events, key=lambda event: event.stamp)
    one_by_one = [[event] for event in in_order] if len(events) < 60 else [in_order[:50], in_order[50:]]
    schedule = [[in_order], one_by_one, data.draw(schedules(events)), data.draw(schedules(events))]
    runner.run(_check(engine_of_a_version, before, schedule))


def _visible(row: dict[str, Any]) -> dict[str, Any]:
    shown = {
        name: json.loads(value) for name, value in row.items() if isinstance(value, str) and value[:1] in "[{"
    }
    metadata = shown["flow_metadata"]
    metadata.pop("_enrichment", None)
    current_phase = shown.pop("flow_persistence_data").get("current_phase")
    for name in ("phase_transitions", "error_history", "agent_collaboration_log"):
        shown[name] = [entry["id"] for entry in shown[name]]
    return {
        **shown,
        "listing": metadata.pop("phase_transitions", []),
        "current_phase": current_phase,
        "retry_count": row["retry_count"],
        "flow_status": row["flow_status"],
    }


@pytest.mark.timeout(900)
@settings(max_examples=max(60, settings().max_examples // 3))
@given(data=st.data())
def test_a_model_in_plain_python_agrees_with_the_row(
    runner: asyncio.Runner, engine_of_a_version: AsyncEngine, data: st.DataObject
) -> None:
    events = data.draw(event_sets(_CONTEXT))
    batches = data.draw(schedules(events)) if len(events) < 100 else [events]

    async def merged_row() -> dict[str, Any]:
        async with session_factory(engine_of_a_version)() as session:
            row = await _row_after(session, {}, batches)
            await session.rollback()
        return row

    shown, expected = _visible(runner.run(merged_row())), row_after(events)
    for name in ("memory_usage_metrics", "agent_performance_metrics", "flow_metadata"):
        large = {key for key, value in expected[name].items() if len(json.dumps(value)) > _MOST_KEPT_WHOLE}
        assert shown[name].keys() == expected[name].keys()
        for key in large:
            assert type(shown[name].pop(key)) is type(expected[name].pop(key))
    assert shown == expected
