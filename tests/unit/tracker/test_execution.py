import asyncio
import gc
import logging

import pytest

from masterflow.domain.events import ErrorOccurred, FlowRetried, PhaseTimed, StatusChanged
from masterflow.tracker.execution import FlowRunner, run_initialization
from masterflow.tracker.hooks import phase
from masterflow.tracker.tracker import FlowProgressTracker, current_flow
from tests.support.events.reported import CONTEXT, FLOW_ID


async def until_cancelled() -> None:
    await asyncio.Event().wait()


async def test_an_initialization_tells_its_outcome_and_no_payload(tracker, told):
    async def initialize() -> dict[str, object]:
        return {"rows": ["Ann Smith"] * 3, "status": "completed", "owner": "Ann Smith"}

    result = await run_initialization(initialize, tracker)
    assert len(result) == 3
    assert told.transitions == ["initialization:processing", "initialization:completed"]
    assert told.facts("initialization:completed")["result_summary"] == {
        "type": "dict",
        "size": 3,
        "keys": ["rows", "status", "owner"],
        "counts": {"rows": 3},
        "status": "completed",
    }
    assert [event.phase for event in told.of(PhaseTimed)] == ["initialization"]


@pytest.mark.parametrize(
    ("result", "summary"),
    [
        (None, {"type": "NoneType"}),
        ("Ann Smith", {"type": "str", "size": 9}),
        ([1, 2], {"type": "list", "size": 2}),
        ({str(n): n for n in range(9)}, {"type": "dict", "size": 9, "keys": list("01234"), "counts": {}}),
    ],
)
async def test_any_result_of_a_plain_handler_has_a_summary(tracker, told, result, summary):
    assert await run_initialization(lambda: result, tracker) is result
    assert told.facts("initialization:completed")["result_summary"] == summary


async def test_a_failed_initialization_is_told_and_raised(tracker, told):
    async def initialize() -> None:
        raise LookupError("no import")

    with pytest.raises(LookupError):
        await run_initialization(initialize, tracker)
    assert told.transitions[-1] == "initialization:failed"
    assert [event.error for event in told.of(ErrorOccurred)] == ["no import"]


async def test_a_background_flow_is_told_from_processing_to_completed_with_its_time(tracker, told):
    async def flow() -> str:
        with phase("data_import"):
            assert current_flow() is tracker
        return "result"

    assert await FlowRunner().start(flow(), tracker) == "result"
    assert told.statuses == ["processing", "completed"]
    assert told.transitions == [
        "discovery_execution:processing",
        "data_import:processing",
        "data_import:completed",
        "discovery_execution:completed",
    ]
    assert [event.phase for event in told.of(PhaseTimed)] == ["data_import", "discovery_execution"]
    assert current_flow() is None


async def test_a_failed_background_flow_is_told_once_and_logged_and_raised_to_who_awaits_it(
    tracker, told, caplog
):
    async def flow() -> None:
        with phase("data_import"):
            raise LookupError("no file")

    with pytest.raises(LookupError):
        await FlowRunner().start(flow(), tracker)
    assert told.statuses == ["processing", "failed"]
    assert [(event.phase, event.error) for event in told.of(ErrorOccurred)] == [("data_import", "no file")]
    assert told.transitions[-1] == "discovery_execution:failed"
    assert f"discovery_execution of flow {FLOW_ID} failed" in caplog.text
    assert "LookupError: no file" in caplog.text


async def test_an_exception_that_nobody_awaits_is_recorded_and_never_reported_as_lost(tracker, told, caplog):
    async def flow() -> None:
        raise LookupError("no file")

    await asyncio.wait([FlowRunner().start(flow(), tracker)])
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_flow_that_waits_is_not_completed_when_its_code_ends(tracker, told):
    async def flow() -> None:
        with phase("field_mapping_approval"):
            await tracker.pause_for_user_input()

    await FlowRunner().start(flow(), tracker)
    assert told.statuses == ["processing", "waiting_for_approval"]
    assert "discovery_execution:completed" not in told.transitions


async def test_a_flow_that_told_its_own_end_is_not_told_another(tracker, told):
    async def flow() -> None:
        await tracker.fail_flow("no servers")

    await FlowRunner().start(flow(), tracker)
    assert told.statuses == ["processing", "failed"]


async def test_a_cancelled_flow_is_cancelled_for_good(tracker, told):
    runner = FlowRunner()
    task = runner.start(until_cancelled(), tracker)
    await asyncio.sleep(0)
    assert runner.cancel(str(FLOW_ID))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.statuses == ["processing", "cancelled"]
    assert told.transitions[-1] == "discovery_execution:cancelled"
    assert not runner.cancel(FLOW_ID)


@pytest.mark.parametrize("steps", [0, 1], ids=["before its first step", "while it runs"])
async def test_shutdown_pauses_what_runs_so_that_it_can_be_resumed(tracker, told, steps):
    runner = FlowRunner()
    task = runner.start(until_cancelled(), tracker)
    for _ in range(steps):
        await asyncio.sleep(0)
    assert await runner.shutdown(timeout_s=5)
    assert task.cancelled()
    assert told.statuses == ["processing", "paused"]
    await tracker.resume_after_user_input()
    assert told.statuses[-1] == "processing"


@pytest.mark.parametrize("end", ["shutdown", "cancel"])
async def test_a_block_of_the_flow_inside_leaves_its_end_to_the_runner(tracker, told, end):
    async def flow() -> None:
        async with tracker:
            await until_cancelled()

    runner = FlowRunner()
    task = runner.start(flow(), tracker)
    await asyncio.sleep(0)
    if end == "cancel":
        runner.cancel(FLOW_ID)
        await asyncio.wait([task])
    else:
        assert await runner.shutdown(timeout_s=5)
    assert told.statuses == ["processing", "cancelled" if end == "cancel" else "paused"]


async def test_shutdown_leaves_a_flow_that_waits_for_approval_waiting(tracker, told):
    waits = asyncio.Event()

    async def flow() -> None:
        await tracker.pause_for_user_input("please look")
        waits.set()
        await until_cancelled()

    runner = FlowRunner()
    runner.start(flow(), tracker)
    await waits.wait()
    assert await runner.shutdown(timeout_s=5)
    assert told.statuses == ["processing", "waiting_for_approval"]
    assert told.snapshot["awaiting_user_approval"] is True


async def test_shutdown_says_which_flow_does_not_stop_in_time(tracker, told, caplog):
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    runner = FlowRunner()
    task = runner.start(stubborn(), tracker)
    await asyncio.sleep(0)
    assert not await runner.shutdown(timeout_s=0.01)
    assert "did not stop within 0.01 s" in caplog.text
    released.set()
    await task
    assert told.statuses[-1] == "completed"


async def test_after_shutdown_nothing_starts(tracker, told):
    runner = FlowRunner()
    assert await runner.shutdown(timeout_s=1)
    with pytest.raises(RuntimeError, match="shut down"):
        runner.start(until_cancelled(), tracker)
    assert not told


async def test_a_failed_flow_that_is_started_again_is_reopened(tracker, told):
    async def fail() -> None:
        with phase("data_import"):
            raise LookupError("no file")

    async def work() -> None:
        with phase("data_import"):
            pass

    runner = FlowRunner()
    await asyncio.wait([runner.start(fail(), tracker)])
    await runner.start(work(), tracker)
    assert told.statuses == ["processing", "failed", "processing", "completed"]
    assert [event.reopens for event in told.of(StatusChanged)] == [False, False, True, False]
    assert len(told.of(FlowRetried)) == 1


async def test_many_flows_run_at_once_each_with_its_own_tracker(told):
    seen: dict[FlowProgressTracker, FlowProgressTracker | None] = {}

    async def flow(tracker: FlowProgressTracker) -> None:
        await asyncio.sleep(0)
        seen[tracker] = current_flow()

    runner = FlowRunner()
    trackers = [FlowProgressTracker(FLOW_ID, CONTEXT) for _ in range(20)]
    await asyncio.gather(*(runner.start(flow(tracker), tracker) for tracker in trackers))
    assert seen == {tracker: tracker for tracker in trackers}
