import asyncio

import celery.exceptions
import pytest

from masterflow.domain.events import ErrorOccurred, StatusChanged
from masterflow.tracker.hooks import phase
from masterflow.tracker.tracker import create_progress_tracker
from tests.support.events.reported import CONTEXT, FLOW_ID

pytestmark = pytest.mark.usefixtures("quiet_losses")


class Boom(Exception):
    pass


def leave(tracker, error, work=lambda tracker: tracker.start_phase("data_import")):
    def run():
        with tracker:
            work(tracker)
            raise error

    with pytest.raises(type(error)) as raised:
        run()
    assert raised.value is error


def test_an_exception_that_leaves_the_block_fails_the_flow_with_one_error(tracker, told):
    with pytest.raises(Boom), tracker, phase("data_import"):
        raise Boom("no file")
    assert told.statuses == ["processing", "failed"]
    assert told.errors == [("data_import", "no file")]
    assert told.snapshot["workflow_status"] == "failed"


async def test_so_does_an_async_block(tracker, told):
    async def run():
        async with tracker:
            await tracker.start_phase("data_import")
            raise Boom("no file")

    with pytest.raises(Boom):
        await run()
    assert told.statuses == ["processing", "failed"]
    assert told.transitions[-1] == "data_import:failed"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()])
def test_a_cancelled_block_cancels_the_flow(tracker, told, error):
    leave(tracker, error)
    assert told.statuses == ["processing", "cancelled"]
    assert not told.of(ErrorOccurred)


@pytest.mark.parametrize("error", [SystemExit(1), GeneratorExit()])
def test_a_block_whose_process_ends_pauses_the_flow_so_that_it_can_go_on(tracker, told, error):
    leave(tracker, error)
    assert told.statuses == ["processing", "paused"]


@pytest.mark.parametrize(
    "error", [celery.exceptions.Retry(), celery.exceptions.Ignore(), celery.exceptions.Reject()]
)
def test_what_celery_raises_to_end_a_task_is_no_failure(tracker, told, error):
    with pytest.raises(type(error)), tracker, phase("data_import"):
        raise error
    assert told.statuses == ["processing"]
    assert told.transitions[-1] == "data_import:cancelled"
    assert not told.of(ErrorOccurred)


def test_celery_need_not_be_loaded_for_that(tracker, told, monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "celery.exceptions")
    leave(tracker, Boom())
    assert told.statuses[-1] == "failed"


def test_a_tracker_that_ends_no_flow_leaves_it_as_it_is(told):
    leave(create_progress_tracker(FLOW_ID, CONTEXT, ends_flow=False), Boom("no file"))
    assert told.statuses == ["processing"]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda tracker: tracker.complete_flow(), "completed"),
        (lambda tracker: tracker.cancel_flow(), "cancelled"),
        (lambda tracker: tracker.fail_flow("no servers"), "failed"),
    ],
)
def test_a_flow_that_told_its_end_is_told_no_other(tracker, told, end, status):
    leave(tracker, Boom("late"), end)
    assert told.statuses == [status]
    assert "late" not in [error for _, error in told.errors]


def test_a_flow_that_waits_for_a_human_goes_on_waiting_when_its_task_is_cancelled(tracker, told):
    leave(tracker, asyncio.CancelledError(), lambda tracker: tracker.pause_for_user_input("look"))
    assert told.statuses == ["waiting_for_approval"]


def test_only_the_outermost_block_of_a_flow_ends_it(tracker, told):
    with tracker:
        leave(tracker, Boom())
        assert told.statuses == ["processing"]


def test_a_clean_end_of_the_block_changes_nothing(tracker, told):
    with tracker:
        tracker.start_phase("data_import")
    assert told.statuses == ["processing"]


def test_a_report_that_fails_hides_no_exception(tracker, told, strict, monkeypatch):
    monkeypatch.setattr(tracker.record, "leave", lambda _error: 1 / 0)
    leave(tracker, Boom("mine"))


def test_the_end_of_a_phase_keeps_why_its_flow_has_a_new_status(tracker, told):
    with tracker, phase("data_import"):
        tracker.record.enter("paused", "Please wait.", why={"asked_by": "ana"})
    [*_, changed] = told.of(StatusChanged)
    assert (changed.status, changed.metadata["asked_by"]) == ("paused", "ana")
