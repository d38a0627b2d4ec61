import asyncio
import gc
import inspect
from collections.abc import Awaitable, Callable

import pytest

from masterflow.domain.events import StatusChanged
from masterflow.tracker.tracker import FlowProgressTracker
from tests.support.events.reported import CONTEXT, FLOW_ID

pytestmark = pytest.mark.usefixtures("quiet_losses")


def test_plain_code_reports_without_awaiting(tracker, told):
    tracker.start_phase("data_import")
    tracker.report_agent_activity("Schema Expert", "looked")
    tracker.complete_phase("data_import")
    tracker.complete_flow({"rows": 3})
    gc.collect()
    assert told.statuses == ["processing", "completed"]
    assert told.transitions == ["data_import:processing", "data_import:completed"]


async def by_task(report: Callable[[], Awaitable[None]]) -> None:
    await asyncio.create_task(report())  # type: ignore[arg-type]


async def by_group(report: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(report())  # type: ignore[arg-type]


AWAYS: dict[str, Callable[[Callable[[], Awaitable[None]]], Awaitable[object]]] = {
    "await": lambda report: report(),
    "create_task": by_task,
    "TaskGroup": by_group,
    "gather": lambda report: asyncio.gather(report()),
    "wait_for": lambda report: asyncio.wait_for(report(), 1),
    "shield": lambda report: asyncio.shield(report()),
    "to_thread": asyncio.to_thread,
    "ensure_future": lambda report: asyncio.ensure_future(report()),
}


@pytest.mark.parametrize("away", AWAYS)
async def test_each_way_to_await_a_report_works(tracker, told, away):
    await AWAYS[away](tracker.complete_flow)
    assert told.statuses == ["completed"]


def test_an_event_loop_runs_a_report(tracker, told):
    asyncio.run(tracker.complete_flow())
    assert told.statuses == ["completed"]


def test_what_a_report_returns_is_awaitable_and_no_generator(tracker, told):
    reported = tracker.start_phase("data_import")
    assert inspect.isawaitable(reported)
    assert asyncio.iscoroutine(reported)


class Adding(FlowProgressTracker):
    """A tracker whose own `async def` goes on after a wait."""

    def __init__(self) -> None:
        super().__init__(FLOW_ID, CONTEXT)
        self.steps: list[str] = []

    async def _persist_progress_to_database(self, progress_data):
        await super()._persist_progress_to_database(progress_data)
        self.steps.append("before")
        await asyncio.sleep(0)
        self.steps.append("after")


def test_an_override_that_awaits_nothing_more_takes_effect_in_plain_code(told):
    class Telling(FlowProgressTracker):
        async def _persist_progress_to_database(self, progress_data):
            await super()._persist_progress_to_database({**progress_data, "extra": 1})

    Telling(FLOW_ID, CONTEXT).start_phase("data_import")
    assert told.snapshot["extra"] == 1


def test_an_override_that_waits_works_up_to_there_in_plain_code(told):
    tracker = Adding()
    tracker.start_phase("data_import")
    gc.collect()
    assert tracker.steps == ["before"]
    assert told.statuses == ["processing"]


@pytest.mark.parametrize("away", ["await", "create_task", "gather"])
async def test_an_override_that_waits_is_awaited_to_its_end(told, away):
    tracker = Adding()
    await AWAYS[away](lambda: tracker.start_phase("data_import"))
    assert tracker.steps == ["before", "after"]


async def test_an_override_that_fails_after_its_wait_does_not_fail_the_flow(told, caplog):
    class Failing(FlowProgressTracker):
        async def _persist_progress_to_database(self, progress_data):
            await asyncio.sleep(0)
            raise RuntimeError("no such table")

    await Failing(FLOW_ID, CONTEXT).start_phase("data_import")
    assert "no such table" in caplog.text


async def test_cancelling_what_waits_in_an_override_cancels_it(told):
    class Hanging(FlowProgressTracker):
        async def _persist_progress_to_database(self, progress_data):
            await asyncio.Event().wait()

    task: asyncio.Task[None] = asyncio.create_task(Hanging(FLOW_ID, CONTEXT).start_phase("data_import"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not told.of(StatusChanged)
