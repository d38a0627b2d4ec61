import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from masterflow.domain.events import ErrorOccurred, PhaseTimed
from masterflow.tracker.attempts import attempts_here
from masterflow.tracker.hooks import phase
from masterflow.tracker.tracker import FlowProgressTracker, current_flow
from tests.support.events.reported import CONTEXT, FLOW_ID

pytestmark = pytest.mark.usefixtures("quiet_losses")


class Boom(Exception):
    pass


def test_nested_phases_end_in_reverse_order(tracker, told):
    with tracker, phase("outer"), phase("inner"):
        assert told.snapshot["phase"] == "inner"
    assert told.transitions == ["outer:processing", "inner:processing", "inner:completed", "outer:completed"]
    assert attempts_here.get() == ()


async def test_concurrent_phases_keep_their_own_times_and_errors(tracker, told):
    both_started = asyncio.Barrier(2)

    @phase("fails")
    async def fail() -> None:
        await both_started.wait()
        raise Boom

    @phase("works")
    async def work() -> None:
        await both_started.wait()
        await asyncio.sleep(0)

    with tracker:
        results = await asyncio.gather(fail(), work(), return_exceptions=True)
    assert isinstance(results[0], Boom)
    assert sorted(told.transitions) == [
        "fails:failed",
        "fails:processing",
        "works:completed",
        "works:processing",
    ]
    assert [event.phase for event in told.of(ErrorOccurred)] == ["fails"]


async def test_one_hook_serves_many_tasks_at_once(tracker, told):
    reading = phase("data_import", flow=tracker)
    all_inside = asyncio.Barrier(5)

    async def read() -> None:
        async with reading:
            await all_inside.wait()

    await asyncio.gather(*(read() for _ in range(5)))
    assert told.transitions == ["data_import:processing"] * 5 + ["data_import:completed"] * 5


def test_a_hook_may_be_entered_within_itself(tracker, told):
    reading = phase("data_import", flow=tracker)
    with reading as outer, reading as inner:
        assert outer is not inner
    assert told.transitions == ["data_import:processing"] * 2 + ["data_import:completed"] * 2
    assert inner.elapsed_ms <= outer.elapsed_ms


def test_a_block_may_be_left_in_another_context_than_it_was_entered_in(tracker, told):
    reading = phase("data_import", flow=tracker)
    contextvars.copy_context().run(reading.__enter__)
    contextvars.copy_context().run(reading.__exit__, None, None, None)
    assert told.transitions == ["data_import:processing", "data_import:completed"]


async def test_a_wait_stops_the_phases_around_it_and_no_other(tracker, told, monkeypatch):
    now_s = 0.0
    monkeypatch.setattr("masterflow.tracker.attempts.time", SimpleNamespace(monotonic=lambda: now_s))
    waits, resumed = asyncio.Event(), asyncio.Event()

    async def approve() -> None:
        with phase("outer"), phase("approval"):
            await tracker.pause_for_user_input("look")
            waits.set()
            await resumed.wait()

    async def work() -> None:
        with phase("work"):
            await resumed.wait()

    with tracker:
        tasks = [asyncio.create_task(approve()), asyncio.create_task(work())]
        await waits.wait()
        now_s = 60.0
        await tracker.resume_after_user_input("fine")
        resumed.set()
        await asyncio.gather(*tasks)
    times = {event.phase: event.execution_time_ms for event in told.of(PhaseTimed)}
    assert times == {"approval": 0, "outer": 0, "work": 60_000}


async def test_a_phase_that_starts_beside_a_waiting_one_does_not_end_the_wait(tracker, told):
    waits = asyncio.Event()

    @phase("approval", flow=tracker)
    async def approve() -> None:
        await tracker.pause_for_user_input()
        waits.set()
        await asyncio.Event().wait()

    approval = asyncio.create_task(approve())
    await waits.wait()
    with phase("beside", flow=tracker):
        pass
    assert told.statuses == ["processing", "waiting_for_approval"]
    approval.cancel()
    await asyncio.wait([approval])


async def test_a_phase_left_while_it_waits_is_completed_by_the_answer(tracker, told):
    with tracker:
        with phase("field_mapping_approval") as run:
            run.note(proposals=16)
            await tracker.pause_for_user_input()
        assert told.transitions[-1] == "field_mapping_approval:paused"
        assert told.snapshot["status"] == "paused"
        await tracker.resume_after_user_input()
    assert told.transitions[-2:] == ["field_mapping_approval:processing", "field_mapping_approval:completed"]
    assert told.facts("field_mapping_approval:completed")["proposals"] == 16


async def test_the_next_phase_is_the_answer_to_one_left_while_it_waits(tracker, told):
    with tracker:
        with phase("field_mapping_approval"):
            await tracker.pause_for_user_input()
        with phase("data_cleansing"):
            pass
    assert told.statuses[-1] == "processing"
    assert told.transitions.count("field_mapping_approval:completed") == 1


def test_the_innermost_flow_is_the_current_one_and_none_outside(told):
    outer, inner = FlowProgressTracker(FLOW_ID, CONTEXT), FlowProgressTracker(FLOW_ID, CONTEXT)
    assert current_flow() is None
    with outer:
        with inner, outer:
            assert current_flow() is outer
        assert current_flow() is outer
    assert current_flow() is None


def test_a_thread_pool_works_for_the_flow_of_the_context_it_is_given(tracker, told):
    @phase("data_import")
    def read() -> str:
        return threading.current_thread().name

    with tracker, ThreadPoolExecutor(1, "pool") as pool:
        assert pool.submit(contextvars.copy_context().run, read).result().startswith("pool")
    assert told.transitions == ["data_import:processing", "data_import:completed"]
