import asyncio
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from masterflow import (
    FlowRunner,
    FlowStopped,
    FlowThreadPool,
    StopRequest,
    create_progress_tracker,
    current_flow,
    phase,
)
from masterflow.domain.events import StatusChanged
from masterflow.tracker.control.registry import control_registry
from masterflow.tracker.control.requests import Message
from tests.support.events.reported import CONTEXT, FLOW_ID

pytestmark = pytest.mark.usefixtures("told")


def stop(told, reason="Too slow."):
    told.request_stop(FLOW_ID, reason, by="ann")


def end_of(told) -> dict[str, object]:
    """Return what the row's metadata says of the flow's newest status."""
    return dict(told.of(StatusChanged)[-1].metadata)


def test_who_asked_a_flow_to_stop_is_seen_by_all_its_trackers_and_by_no_other_flow(tracker, told):
    twin = create_progress_tracker(FLOW_ID, CONTEXT)
    other = create_progress_tracker(uuid4(), CONTEXT)
    assert not tracker.stop_requested
    stop(told)
    late = create_progress_tracker(str(FLOW_ID), CONTEXT)
    for one in (tracker, twin, late):
        assert one.stop_requested
        assert (one.stop_requested.by, one.stop_requested.reason) == ("ann", "Too slow.")
    assert other.stop_requested is None


def test_nothing_stops_a_flow_that_does_not_ask(tracker, told):
    stop(told)
    with tracker, phase("data_import"):
        pass
    tracker.complete_flow()
    assert told.statuses == ["processing", "completed"]


def test_a_flow_that_asks_ends_as_cancelled_with_who_asked(tracker, told):
    stop(told)
    with (
        pytest.raises(FlowStopped, match=r"ann asked it to stop: Too slow\.") as stopped,
        tracker,
        phase("data_import"),
    ):
        tracker.raise_if_stopped()
    assert told.statuses == ["processing", "cancelled"]
    assert told.transitions[-1] == "data_import:cancelled"
    assert told.errors == []
    assert end_of(told) | {
        "cancelled_by": "ann",
        "cancel_reason": "Too slow.",
        "cancel_request": str(stopped.value.request.request_id),
    } == end_of(told)


def test_a_stoppable_phase_is_not_begun_once_somebody_asked_the_flow_to_stop(tracker, told):
    stop(told)
    with pytest.raises(FlowStopped), tracker, phase("data_import", stoppable=True):
        pytest.fail("it was begun")
    assert told.transitions == []
    assert told.statuses == ["cancelled"]


def test_a_stoppable_phase_is_done_before_the_flow_stops(tracker, told):
    with pytest.raises(FlowStopped), tracker, phase("data_import", stoppable=True):
        stop(told)
    assert told.phases == {"data_import": "completed"}
    assert told.statuses == ["processing", "cancelled"]


def test_an_error_of_a_stoppable_phase_passes_unchanged(tracker, told):
    def fail() -> None:
        stop(told)
        raise LookupError("no file")

    with pytest.raises(LookupError), tracker, phase("data_import", stoppable=True):
        fail()
    assert told.statuses == ["processing", "failed"]


def test_a_nested_phase_stops_those_around_it(tracker, told):
    with pytest.raises(FlowStopped), tracker, phase("outer"), phase("inner", stoppable=True):
        stop(told)
    assert told.phases == {"inner": "completed", "outer": "cancelled"}


def test_decorated_functions_stop_at_their_boundaries(tracker, told):
    @phase("data_import", stoppable=True)
    def load() -> str:
        return "rows"

    with tracker:
        assert load() == "rows"
        stop(told)
        with pytest.raises(FlowStopped):
            load()
    assert told.transitions == ["data_import:processing", "data_import:completed"]


def test_a_flow_that_has_ended_is_untouched(tracker, told):
    tracker.complete_flow()
    stop(told)
    assert tracker.stop_requested is None
    tracker.raise_if_stopped()
    assert told.statuses == ["completed"]


def test_a_stop_from_before_a_failed_flow_was_tried_again_counts_no_more(tracker, told):
    stop(told)
    tracker.fail_flow("no file")
    tracker.resume_after_user_input()
    assert tracker.stop_requested is None


def test_code_that_only_asks_and_gives_the_flow_up_names_who_wanted_it(tracker, told):
    stop(told)
    with tracker:
        if tracker.stop_requested:
            tracker.cancel_flow()
    assert end_of(told)["cancelled_by"] == "ann"


def test_who_tells_that_a_flow_failed_by_the_stop_tells_that_it_was_cancelled(tracker, told):
    stop(told)
    tracker.start_phase("data_import")
    with pytest.raises(FlowStopped) as stopped:
        tracker.raise_if_stopped()
    tracker.fail_flow(stopped.value)
    assert told.statuses == ["processing", "cancelled"]
    assert told.phases == {"data_import": "cancelled"}
    assert told.errors == []
    assert end_of(told)["cancelled_by"] == "ann"


def test_a_flow_that_its_own_code_gives_up_names_nobody(tracker, told):
    tracker.cancel_flow()
    assert "cancelled_by" not in end_of(told)


def test_the_stop_of_one_flow_is_an_error_to_another_around_it(tracker, told):
    inner = create_progress_tracker(uuid4(), CONTEXT)
    told.request_stop(inner.flow_id)
    with pytest.raises(FlowStopped), tracker, inner:
        inner.raise_if_stopped()
    assert told.of_flow(inner.flow_id).statuses == ["cancelled"]
    assert told.of_flow(FLOW_ID).statuses == ["failed"]


def test_every_thread_of_a_flow_sees_the_stop(tracker, told):
    barrier = threading.Barrier(3)

    def work() -> None:
        with phase("data_import", stoppable=True):
            barrier.wait(5)
            barrier.wait(5)

    with tracker, FlowThreadPool(1) as own, ThreadPoolExecutor(1) as plain:
        jobs = [own.submit(work), plain.submit(tracker.in_thread(work))]
        barrier.wait(5)
        stop(told)
        barrier.wait(5)
        assert all(isinstance(job.exception(5), FlowStopped) for job in jobs)


async def test_a_task_is_cancelled_at_its_next_await_and_its_phase_ends_as_stopped(tracker, told):
    cleaned_up = []

    async def flow() -> None:
        async with tracker:
            with phase("data_import", stoppable="await"):
                try:
                    await asyncio.Event().wait()
                finally:
                    cleaned_up.append(True)

    task = asyncio.create_task(flow())
    await eventually_async(lambda: told.transitions == ["data_import:processing"])
    threading.Thread(target=stop, args=[told]).start()
    with pytest.raises(FlowStopped):
        await asyncio.wait_for(task, 5)
    assert cleaned_up
    assert told.phases == {"data_import": "cancelled"}
    assert told.statuses == ["processing", "cancelled"]
    assert end_of(told)["cancelled_by"] == "ann"


async def test_nested_phases_of_one_task_end_by_one_stop(tracker, told):
    async def flow() -> None:
        async with tracker, phase("outer", stoppable="await"), phase("inner", stoppable="await"):
            await asyncio.Event().wait()

    task = asyncio.create_task(flow())
    await eventually_async(lambda: "inner:processing" in told.transitions)
    stop(told)
    with pytest.raises(FlowStopped):
        await asyncio.wait_for(task, 5)
    assert not task.cancelling()
    assert told.phases == {"outer": "cancelled", "inner": "cancelled"}


async def test_a_task_that_somebody_else_cancels_as_well_stays_cancelled(tracker, told):
    async def flow() -> None:
        async with tracker, phase("data_import", stoppable="await"):
            await asyncio.Event().wait()

    task = asyncio.create_task(flow())
    await eventually_async(lambda: told.transitions == ["data_import:processing"])
    stop(told)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.statuses == ["processing", "cancelled"]


async def test_a_task_is_left_alone_once_it_has_left_the_phase(tracker, told):
    gate = asyncio.Event()

    async def flow() -> str:
        async with tracker:
            with phase("data_import", stoppable="await"):
                pass
            gate.set()
            await asyncio.sleep(0.05)
            return "done"

    task = asyncio.create_task(flow())
    await gate.wait()
    stop(told)
    assert await task == "done"


async def test_code_that_swallows_the_cancellation_stops_at_the_end_of_its_phase(tracker, told):
    async def flow() -> None:
        async with tracker, phase("data_import", stoppable="await"):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)

    task = asyncio.create_task(flow())
    await eventually_async(lambda: told.transitions == ["data_import:processing"])
    stop(told)
    with pytest.raises(FlowStopped):
        await task
    assert not task.cancelling()
    assert told.phases == {"data_import": "completed"}


async def test_the_stop_of_every_task_in_a_group_cancels_the_flow(tracker, told):
    async def work() -> None:
        async with phase("data_import", stoppable="await"):
            await asyncio.Event().wait()

    async def flow() -> None:
        async with tracker, asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(work())

    task = asyncio.create_task(flow())
    await eventually_async(lambda: len(told.transitions) == 2)
    stop(told)
    with pytest.raises(ExceptionGroup):
        await task
    assert told.statuses == ["processing", "cancelled"]


async def test_a_runner_cancels_a_stoppable_flow(tracker, told):
    async def flow() -> None:
        await asyncio.Event().wait()

    task = FlowRunner().start(flow(), tracker, stoppable=True)
    await asyncio.sleep(0)
    stop(told)
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert told.statuses == ["processing", "cancelled"]
    assert end_of(told)["cancelled_by"] == "ann"
    assert told.phases == {"discovery_execution": "cancelled"}


async def test_a_runner_leaves_other_flows_alone(tracker, told):
    async def flow() -> str:
        await asyncio.sleep(0.02)
        return "done"

    task = FlowRunner().start(flow(), tracker)
    stop(told)
    assert await task == "done"
    assert told.statuses == ["processing", "completed"]


async def test_a_runners_flow_that_stops_itself_is_no_failure(tracker, told, caplog):
    async def flow() -> None:
        current = current_flow()
        assert current is not None
        current.raise_if_stopped()

    stop(told)
    with pytest.raises(FlowStopped):
        await FlowRunner().start(flow(), tracker)
    assert told.statuses == ["processing", "cancelled"]
    assert "failed" not in caplog.text


def test_the_first_of_several_requests_counts_and_a_repetition_changes_nothing(tracker):
    first, second = (
        Message(uuid4(), "cancel", name, datetime(2026, 11, 27, hour, tzinfo=UTC))
        for name, hour in (("ann", 10), ("bob", 11))
    )
    for message in (first, second, first):
        assert deliver(message)
    assert tracker.stop_requested == StopRequest(first.request_id, "ann", None, first.at)


def test_a_message_of_another_tenant_reaches_no_flow(tracker):
    message = Message(uuid4(), "cancel", "eve", datetime.now(UTC))
    stranger = (CONTEXT.client_account_id, uuid4())
    assert not control_registry.deliver(stranger, UUID(str(FLOW_ID)), message)
    assert tracker.stop_requested is None


def test_a_flow_whose_trackers_are_gone_is_forgotten(told):
    other = uuid4()
    create_progress_tracker(other, CONTEXT)
    assert other not in {control.flow_id for control in control_registry.flows()}


def test_only_tenants_of_flows_that_have_not_ended_are_listened_for(tracker):
    tenant = (CONTEXT.client_account_id, CONTEXT.engagement_id)
    assert tenant in control_registry.tenants()
    tracker.complete_flow()
    assert tenant not in control_registry.tenants()


def test_what_stopped_a_flow_survives_pickling():
    request = StopRequest(uuid4(), "ann", None, datetime.now(UTC))
    copy = pickle.loads(pickle.dumps(FlowStopped(request, uuid4())))
    assert copy.request == request
    assert str(copy) == "ann asked it to stop."


def deliver(message: Message) -> bool:
    tenant = (CONTEXT.client_account_id, CONTEXT.engagement_id)
    return control_registry.deliver(tenant, UUID(str(FLOW_ID)), message)


async def eventually_async(is_so) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110  what it waits for is no event of this loop
            await asyncio.sleep(0)
