import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow.domain.events import AnyEvent
from masterflow.repository.database import session_factory
from masterflow.repository.merge.deltas import sum_up
from masterflow.repository.merge.merges import merge_arguments
from masterflow.repository.sql import statement
from masterflow.scripts.embedded import EmbeddedPostgres
from tests.support.events.crowds import CROWDS
from tests.support.events.flows import new_context
from tests.support.events.reference_model import row_after
from tests.support.rows.histories import History, crowded_history, deliveries, histories, orderly
from tests.support.rows.legacy import fresh_row
from tests.support.rows.other_writers import written_by_others
from tests.support.rows.stored import differences, insert_rows, printed, printed_row, read_row, write
from tests.support.servers.databases import engine_for, fill_with_tables, temporary_database
from tests.support.servers.debian import installed_program

_CONTEXT = new_context()
_COLUMN_BYTES = 256 * 1024


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
        runner.run(_allow_every_status(engine))
        yield engine
        runner.run(engine.dispose())


async def _allow_every_status(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        # As in the newest form of the application's table.
        await connection.execute(
            text("alter table migration.crewai_flow_state_extensions drop constraint chk_valid_flow_status")
        )


async def _deliver(
    session: AsyncSession, flow_ids: Sequence[UUID], ways: Sequence[list[list[AnyEvent]]]
) -> None:
    """Deliver events to several flows at once, to each in its own way."""
    for batches in zip_longest(*ways, fillvalue=[]):
        # Not apply_events, in which an id is that of one event of one flow.
        deltas = [
            replace(delta, flow_id=flow_id)
            for flow_id, batch in zip(flow_ids, batches, strict=True)
            for delta in sum_up(batch)
        ]
        await session.execute(statement("merge_deltas"), merge_arguments(deltas))


async def _check(engine: AsyncEngine, history: History, *, flows: int, model: bool) -> None:
    async with session_factory(engine)() as session:
        await _live_through(session, history, flows=flows, model=model)
        await session.rollback()


async def _live_through(session: AsyncSession, history: History, *, flows: int, model: bool) -> None:
    """Let the history happen to several flows, each in its own way; compare them after each of its stages."""
    flow_ids = [uuid4() for _ in range(flows)]
    delivery = Random(history.delivery)
    row = history.before
    earlier = [row]
    await insert_rows(session, _CONTEXT, flow_ids, row)
    for stage in history.stages:
        ways = [deliver(stage.events, delivery) for deliver in (deliveries, orderly, deliveries)]
        await _deliver(session, flow_ids, ways[:flows])
        first, *others = await printed(session, flow_ids)
        for other in others:
            assert differences(other, first) == {}
        if model:
            assert differences(first, printed_row(row_after(row, stage.events))) == {}
        if row == fresh_row():
            assert max(len(str(value).encode()) for value in first.values()) <= _COLUMN_BYTES
        row = row | read_row(first)
        earlier.append(row)
        changes = written_by_others(Random(stage.others), row, earlier)
        await write(session, flow_ids, changes)
        row = row | changes


# A normal run is short; `--hypothesis-profile deep` draws thousands, with another `--hypothesis-seed` others.
_IS_DEEP = settings().max_examples > 1_000
_TIMEOUT_S = 6 * 3_600 if _IS_DEEP else 250


@pytest.mark.long
@pytest.mark.timeout(_TIMEOUT_S)
@settings(max_examples=max(200, settings().max_examples))
@given(history=histories(_CONTEXT))
def test_any_order_repetition_and_batching_of_events_ends_in_the_same_row(
    runner: asyncio.Runner, engine_of_a_version: AsyncEngine, history: History
) -> None:
    runner.run(_check(engine_of_a_version, history, flows=3, model=False))


@pytest.mark.timeout(_TIMEOUT_S)
@settings(max_examples=max(60, settings().max_examples // 3))
@given(history=histories(_CONTEXT))
def test_a_model_in_plain_python_agrees_with_the_row(
    runner: asyncio.Runner, engine_of_a_version: AsyncEngine, history: History
) -> None:
    runner.run(_check(engine_of_a_version, history, flows=1, model=True))


@pytest.mark.long("PostgreSQL 15")
@pytest.mark.parametrize("crowd", CROWDS)
def test_the_law_and_the_model_hold_at_every_bound(
    runner: asyncio.Runner, engine_of_a_version: AsyncEngine, crowd: str
) -> None:
    for seed in range(2):
        runner.run(_check(engine_of_a_version, crowded_history(_CONTEXT, crowd, seed), flows=3, model=True))
