import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from masterflow.domain import DatabaseUnavailable, FlowContext, TenantMismatch
from masterflow.repository import BlockingFlowStates
from masterflow.repository.database import session_factory
from masterflow.repository.settings import DatabaseSettings
from tests.support.events.flows import new_context, row_of
from tests.support.servers.databases import engine_for


@pytest.fixture
def states(database_url: str) -> Iterator[BlockingFlowStates]:
    states = BlockingFlowStates(DatabaseSettings(database_url=database_url))
    yield states
    states.close()


def test_a_document_comes_back_and_its_phase_is_the_current_one(
    states: BlockingFlowStates, context: FlowContext, database_url: str
) -> None:
    flow_id = uuid4()
    assert states.load(context, flow_id) is None
    states.change(context, flow_id, "mapping", lambda found: {"a": {"rows": [1, 2.5, None]}})
    states.change(context, flow_id, None, lambda found: {**found, "b": 1})
    assert states.load(context, flow_id) == {
        "a": {"rows": [1, 2.5, None]},
        "b": 1,
        "current_phase": "mapping",
    }
    row = asyncio.run(read(database_url, flow_id))
    assert row.flow_persistence_data["current_phase"] == "mapping"


async def read(database_url, flow_id):
    engine = engine_for(database_url)
    async with session_factory(engine)() as session:
        row = await row_of(session, flow_id)
    await engine.dispose()
    return row


def test_what_several_threads_and_processes_add_is_all_kept(
    states: BlockingFlowStates, context: FlowContext, database_url: str
) -> None:
    flow_id = uuid4()
    others = [BlockingFlowStates(DatabaseSettings(database_url=database_url)) for _ in range(3)]
    states.change(context, flow_id, "a", lambda found: {"n": 0})

    def add(one: BlockingFlowStates) -> None:
        for _ in range(5):
            one.change(context, flow_id, "a", lambda found: {"n": found["n"] + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, [states, *others]))
    for one in others:
        one.close()
    assert states.load(context, flow_id) == {"n": 20, "current_phase": "a"}


def test_it_works_inside_a_running_event_loop_and_in_a_forked_child(
    states: BlockingFlowStates, context: FlowContext
) -> None:
    flow_id = uuid4()

    async def inside() -> None:
        states.change(context, flow_id, "a", lambda found: {"by": "the loop"})

    asyncio.run(inside())
    if not (pid := os.fork()):
        states.change(context, flow_id, "b", lambda found: {"by": "the child"})
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    assert states.load(context, flow_id) == {"by": "the child", "current_phase": "b"}


def test_no_tenant_reads_or_writes_what_is_another_ones(
    states: BlockingFlowStates, context: FlowContext
) -> None:
    flow_id, other = uuid4(), new_context()
    states.change(context, flow_id, "a", lambda found: {"secret": 1})
    with pytest.raises(TenantMismatch):
        states.load(other, flow_id)
    with pytest.raises(TenantMismatch):
        states.change(other, flow_id, "a", lambda found: {"theirs": 1})
    assert states.load(context, flow_id) == {"secret": 1, "current_phase": "a"}


def test_without_a_database_it_says_so(context: FlowContext) -> None:
    states = BlockingFlowStates(DatabaseSettings(database_url="postgresql+psycopg://nobody@127.0.0.1:9/none"))
    with pytest.raises(DatabaseUnavailable):
        states.load(context, uuid4())
    states.close()
