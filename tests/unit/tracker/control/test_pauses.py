import asyncio
import threading
import time

from masterflow import FlowStopped, phase
from masterflow.domain.events import PhaseTimed, StatusChanged
from tests.support.events.reported import FLOW_ID
from tests.support.eventually import eventually


def run_in_thread(work) -> tuple[threading.Thread, list[object]]:
    """Run something in a thread; return it, and what it raised."""
    raised: list[object] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  it is looked at
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def two_phases(tracker) -> None:
    with tracker:
        with phase("data_import", stoppable=True):
            pass
        with phase("data_cleansing", stoppable=True):
            pass


def test_a_flow_pauses_at_a_boundary_until_somebody_lets_it_go_on(tracker, told):
    told.request_pause(FLOW_ID, "The source is down.", by="ann")
    thread, raised = run_in_thread(lambda: two_phases(tracker))
    eventually(lambda: told.statuses == ["paused"])
    assert told.transitions == []
    assert (
        told.of(StatusChanged)[0].metadata.items()
        >= {
            "paused_by": "ann",
            "pause_reason": "The source is down.",
            "is_processing": False,
        }.items()
    )
    assert told.snapshot["message"] == "ann asked it to pause: The source is down."
    told.request_resume(FLOW_ID, by="bob")
    thread.join(5)
    assert not raised
    assert told.phases == {"data_import": "completed", "data_cleansing": "completed"}
    assert told.statuses == ["paused", "processing"]
    assert told.of(StatusChanged)[1].metadata["resumed_by"] == "bob"


def test_the_phase_around_a_pause_does_not_count_it_as_work(tracker, told):
    def work() -> None:
        with tracker, phase("outer"), phase("inner", stoppable=True):
            pass

    told.request_pause(FLOW_ID)
    thread, _ = run_in_thread(work)
    eventually(lambda: told.transitions[-1:] == ["outer:paused"])
    time.sleep(0.2)  # what is to be left out of the phase's time
    told.request_resume(FLOW_ID)
    thread.join(5)
    times = {event.phase: event.execution_time_ms for event in told.of(PhaseTimed)}
    assert times["outer"] < 150
    assert told.transitions[1:3] == ["outer:paused", "outer:processing"]


def test_a_paused_flow_can_be_stopped(tracker, told):
    told.request_pause(FLOW_ID)
    thread, raised = run_in_thread(lambda: two_phases(tracker))
    eventually(lambda: told.statuses == ["paused"])
    told.request_stop(FLOW_ID, by="ann")
    thread.join(5)
    assert [type(error) for error in raised] == [FlowStopped]
    assert told.statuses == ["paused", "cancelled"]


def test_a_pause_that_was_taken_back_in_time_pauses_nothing(tracker, told):
    told.request_pause(FLOW_ID)
    told.request_resume(FLOW_ID)
    two_phases(tracker)
    assert told.statuses == ["processing"]


def test_a_phase_that_does_not_obey_runs_on(tracker, told):
    told.request_pause(FLOW_ID)
    with tracker, phase("data_import"):
        pass
    assert told.statuses == ["processing"]


def test_several_threads_pause_and_go_on_as_one_flow(tracker, told):
    def work() -> None:
        with phase("data_import", stoppable=True):
            pass

    told.request_pause(FLOW_ID)
    threads = [run_in_thread(tracker.in_thread(work)) for _ in range(3)]
    eventually(lambda: len(tracker.record.control._listeners) == 3)
    told.request_resume(FLOW_ID)
    for thread, raised in threads:
        thread.join(5)
        assert not raised
    assert told.statuses == ["paused", "processing"]
    assert told.transitions.count("data_import:completed") == 3


async def test_async_code_pauses_and_lets_its_loop_go_on(tracker, told):
    async def flow() -> None:
        async with tracker, phase("data_import", stoppable=True):
            pass

    told.request_pause(FLOW_ID)
    task = asyncio.create_task(flow())
    while told.statuses != ["paused"]:  # noqa: ASYNC110  another task reports it
        await asyncio.sleep(0)
    # From another thread, as the sender's would.
    await asyncio.to_thread(told.request_resume, FLOW_ID)
    await asyncio.wait_for(task, 5)
    assert told.statuses == ["paused", "processing"]


async def test_a_decorated_coroutine_pauses_too(tracker, told):
    @phase("data_import", stoppable=True)
    async def load() -> str:
        return "rows"

    told.request_pause(FLOW_ID)
    with tracker:
        task = asyncio.create_task(load())
        while told.statuses != ["paused"]:  # noqa: ASYNC110  another task reports it
            await asyncio.sleep(0)
        told.request_resume(FLOW_ID)
        assert await asyncio.wait_for(task, 5) == "rows"


async def test_a_plain_block_in_an_event_loop_does_not_hold_it_up(tracker, told, caplog, quiet_losses):
    told.request_pause(FLOW_ID)
    with tracker, phase("data_import", stoppable=True):
        pass
    assert told.statuses == ["processing"]
    assert "async with phase" in caplog.text
