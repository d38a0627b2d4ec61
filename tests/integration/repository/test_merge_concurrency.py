import asyncio
import multiprocessing
import random
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from masterflow.domain.events import (
    AgentCollaborated,
    AnyEvent,
    ErrorOccurred,
    FlowRetried,
    MemoryMeasured,
    PhaseTimed,
    PhaseTransitioned,
    new_event,
    parse_event,
)
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.database import session_factory as make_session_factory
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.tables import CrewAIFlowStateExtensions
from tests.support.events.flows import bytes_of, new_context, new_flow, row_of
from tests.support.servers.databases import engine_for

_CONTEXT = new_context()
_WRITERS = 16

Sessions = async_sessionmaker[AsyncSession]


def some_events(flow_ids: list[UUID], count: int, seed: int) -> list[AnyEvent]:
    chance = random.Random(seed)
    makers = (
        lambda flow: new_event(PhaseTransitioned, _CONTEXT, flow, phase="p", status="processing"),
        lambda flow: new_event(PhaseTimed, _CONTEXT, flow, phase="p", execution_time_ms=1),
        lambda flow: new_event(AgentCollaborated, _CONTEXT, flow, entry={"agent": "a"}),
        lambda flow: new_event(ErrorOccurred, _CONTEXT, flow, phase="p", error="boom"),
        lambda flow: new_event(FlowRetried, _CONTEXT, flow),
        lambda flow: new_event(MemoryMeasured, _CONTEXT, flow, metrics={f"m{chance.randrange(5)}": 1}),
    )
    return [chance.choice(makers)(chance.choice(flow_ids)) for _ in range(count)]


async def write(sessions: Sessions, events: list[AnyEvent], seed: int) -> None:
    chance = random.Random(seed)
    for start in range(0, len(events), 10):
        batch = events[start : start + 10]
        chance.shuffle(batch)
        async with sessions.begin() as session:
            await apply_events(session, batch)


def write_in_a_process(database_url: str, documents: list[str], seed: int) -> None:
    async def run() -> None:
        engine = engine_for(database_url)
        events = [parse_event(document) for document in documents]
        await write(make_session_factory(engine), events, seed)
        await engine.dispose()

    asyncio.run(run())


async def serial_row(sessions: Sessions, events: list[AnyEvent]) -> dict[str, object]:
    async with sessions() as session:
        flow_id = await new_flow(session, _CONTEXT)
        await apply_events(session, [event.model_copy(update={"flow_id": flow_id}) for event in events])
        return dict(await bytes_of(session, flow_id))


async def test_sixteen_writers_over_the_same_flows_end_where_one_would(
    engine: AsyncEngine, database_url: str, session_factory: Sessions
) -> None:
    async with session_factory.begin() as session:
        flow_ids = [await new_flow(session, _CONTEXT) for _ in range(5)]
    shares = [some_events(flow_ids, 80, seed) for seed in range(_WRITERS)]
    spawn = multiprocessing.get_context("spawn")
    # Half of them are processes of their own; every share is also written by its neighbour.
    processes = [
        spawn.Process(
            target=write_in_a_process,
            args=(database_url, [event.model_dump(mode="json") for event in share], seed),
        )
        for seed, share in enumerate(shares[::2])
    ]
    for process in processes:
        process.start()
    await asyncio.gather(*(write(session_factory, share, seed) for seed, share in enumerate(shares)))
    for process in processes:
        await asyncio.to_thread(process.join)
        assert process.exitcode == 0
    everything = [event for share in shares for event in share]
    for flow_id in flow_ids:
        async with session_factory() as session:
            row = dict(await bytes_of(session, flow_id))
        assert row == await serial_row(
            session_factory, [event for event in everything if event.flow_id == flow_id]
        )


async def test_twenty_concurrent_transitions_are_all_kept(session_factory: Sessions) -> None:
    async with session_factory.begin() as session:
        flow_id = await new_flow(session, _CONTEXT)

    async def report(number: int) -> None:
        async with session_factory.begin() as session:
            repository = CrewAIFlowStateExtensionsRepository(session, *_CONTEXT.model_dump().values())
            await repository.add_phase_transition(flow_id, f"phase {number}", "processing")

    await asyncio.gather(*(report(number) for number in range(20)))
    async with session_factory() as session:
        row = await row_of(session, flow_id)
    assert {entry["phase"] for entry in row.phase_transitions} == {f"phase {n}" for n in range(20)}


async def test_a_session_that_holds_the_row_loses_nothing_of_another(session_factory: Sessions) -> None:
    async with session_factory.begin() as session:
        flow_id = await new_flow(session, _CONTEXT)
    query = select(CrewAIFlowStateExtensions).where(CrewAIFlowStateExtensions.flow_id == flow_id)
    async with session_factory() as stale, session_factory() as other:
        held = (await stale.execute(query)).scalar_one()
        await apply_events(other, [new_event(FlowRetried, _CONTEXT, flow_id)])
        await other.commit()
        repository = CrewAIFlowStateExtensionsRepository(stale, *_CONTEXT.model_dump().values())
        await repository.increment_retry_count(flow_id)
        await repository.add_error_entry(flow_id, "p", "boom")
        held.flow_name = "renamed by the holder"
        await stale.commit()
        fresh = await repository.get_by_flow_id(flow_id)
    assert fresh is held
    assert (fresh.retry_count, len(fresh.error_history or []), fresh.flow_name) == (
        2,
        1,
        "renamed by the holder",
    )


async def test_two_reports_in_one_session_are_both_kept(session_factory: Sessions) -> None:
    async with session_factory.begin() as session:
        flow_id = await new_flow(session, _CONTEXT)
        repository = CrewAIFlowStateExtensionsRepository(session, *_CONTEXT.model_dump().values())
        await repository.append_agent_collaboration(flow_id, {"agent": "one"})
        await repository.append_agent_collaboration(flow_id, {"agent": "two"})
    async with session_factory() as session:
        row = await row_of(session, flow_id)
    assert [entry["agent"] for entry in row.agent_collaboration_log] == ["one", "two"]


async def test_a_caller_that_rolls_back_leaves_nothing(session_factory: Sessions) -> None:
    async with session_factory.begin() as session:
        flow_id = await new_flow(session, _CONTEXT)
        before = await bytes_of(session, flow_id)
    async with session_factory() as session:
        await apply_events(session, some_events([flow_id], 30, seed=1))
        await session.rollback()
        assert await bytes_of(session, flow_id) == before


async def test_a_writer_that_commits_late_and_one_that_waits_for_it_both_count(
    session_factory: Sessions,
) -> None:
    async with session_factory.begin() as session:
        flow_id = await new_flow(session, _CONTEXT)
    async with session_factory() as early, session_factory() as late:
        await apply_events(early, [new_event(FlowRetried, _CONTEXT, flow_id)])
        pid = (await late.execute(text("select pg_backend_pid()"))).scalar_one()
        waiting = asyncio.create_task(apply_events(late, [new_event(FlowRetried, _CONTEXT, flow_id)]))
        await until_blocked(early, pid)
        assert not waiting.done()
        await early.commit()
        await waiting
        await late.commit()
        assert (await row_of(late, flow_id)).retry_count == 2


async def until_blocked(session: AsyncSession, pid: int) -> None:
    query = text("select cardinality(pg_blocking_pids(:pid)) > 0 or pg_sleep(0.01) is null")
    async with asyncio.timeout(10):
        while not (await session.execute(query, {"pid": pid})).scalar_one():
            pass


async def test_a_transaction_that_sees_an_old_snapshot_is_told_to_try_again(
    session_factory: Sessions,
) -> None:
    from masterflow.domain import DatabaseUnavailable

    async with session_factory.begin() as session:
        flow_id = await new_flow(session, _CONTEXT)
    async with session_factory() as old, session_factory() as new:
        await old.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        await row_of(old, flow_id)
        await apply_events(new, [new_event(FlowRetried, _CONTEXT, flow_id)])
        await new.commit()
        with pytest.raises(DatabaseUnavailable):
            await apply_events(old, [new_event(FlowRetried, _CONTEXT, flow_id)])


async def test_flows_in_opposite_orders_do_not_deadlock(session_factory: Sessions) -> None:
    async with session_factory.begin() as session:
        flow_ids = [await new_flow(session, _CONTEXT, uuid4()) for _ in range(20)]

    async def write_all(order: list[UUID]) -> None:
        for _ in range(15):
            async with session_factory.begin() as session:
                await apply_events(session, [new_event(FlowRetried, _CONTEXT, flow_id) for flow_id in order])

    await asyncio.gather(*(write_all(flow_ids[:: 1 if n % 2 else -1]) for n in range(4)))
    async with session_factory() as session:
        assert {(await row_of(session, flow_id)).retry_count for flow_id in flow_ids} == {60}
