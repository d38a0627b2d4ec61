import asyncio
import traceback
from typing import Any
from uuid import uuid4

import pytest

from masterflow import create_progress_tracker
from masterflow.domain import InputInvalid
from masterflow.domain.events import ErrorOccurred, FlowRetried, PhaseTimed
from masterflow.tracker.flow_record import FlowRecord
from masterflow.tracker.hooks import phase
from masterflow.tracker.outbox.process import process_delivery

pytestmark = pytest.mark.usefixtures("quiet_losses")


class Boom(Exception):
    pass


class SoftTimeLimitExceeded(Exception):
    """Named as Celery's."""


def test_a_block_tells_start_end_and_time(tracker, told):
    with phase("data_import", flow=tracker) as run:
        run.note(rows=512)
    assert told.transitions == ["data_import:processing", "data_import:completed"]
    assert told.facts("data_import:completed")["rows"] == 512
    assert told.of(PhaseTimed)[0].execution_time_ms == run.elapsed_ms
    assert told.snapshot["status"] == "completed"
    assert told.statuses == ["processing"]


async def test_an_async_block_tells_the_same(tracker, told):
    async with phase("data_import", flow=tracker):
        await asyncio.sleep(0)
    assert told.transitions == ["data_import:processing", "data_import:completed"]


def test_a_decorated_function_is_a_phase_of_the_current_flow_at_each_call(tracker, told):
    @phase("data_import")
    def read(name: str) -> str:
        """Read it."""
        return name.upper()

    with tracker:
        assert (read("a"), read(name="b")) == ("A", "B")
    assert told.transitions == ["data_import:processing", "data_import:completed"] * 2
    assert (read.__name__, read.__doc__) == ("read", "Read it.")


async def test_a_decorated_coroutine_function_is_a_phase_until_it_ends(tracker, told):
    @phase("data_import")
    async def read() -> list[str]:
        await asyncio.sleep(0)
        return list(told.transitions)

    async with tracker:
        assert await read() == ["data_import:processing"]
    assert told.transitions == ["data_import:processing", "data_import:completed"]


async def test_an_object_with_an_async_call_is_decorated_as_one(tracker, told):
    class Reader:
        async def __call__(self) -> list[str]:
            await asyncio.sleep(0)
            return list(told.transitions)

    reading = phase("data_import", flow=tracker)(Reader())
    assert await reading() == ["data_import:processing"]


def test_an_error_is_told_and_passes_through_unchanged(tracker, told):
    original = Boom("password=hunter2 does not work")
    cause = ValueError("cause")
    with pytest.raises(Boom) as raised, phase("data_import", flow=tracker):
        raise original from cause
    assert raised.value is original
    assert (original.__cause__, original.__context__, vars(original)) == (cause, None, {})
    assert not hasattr(original, "__notes__")
    frames = [frame.name for frame in traceback.extract_tb(original.__traceback__)]
    assert frames == ["test_an_error_is_told_and_passes_through_unchanged"]
    assert told.transitions == ["data_import:processing", "data_import:failed"]
    assert told.facts("data_import:failed")["error_type"] == "Boom"
    assert [event.phase for event in told.of(PhaseTimed)] == ["data_import"]
    [error] = told.of(ErrorOccurred)
    assert "hunter2" not in error.model_dump_json()


@pytest.mark.parametrize(
    "interruption", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit]
)
def test_an_interruption_is_told_as_cancelled_and_passes_through(tracker, told, interruption):
    original = interruption()
    with pytest.raises(interruption) as raised, phase("data_import", flow=tracker):
        raise original
    assert raised.value is original
    assert told.transitions == ["data_import:processing", "data_import:cancelled"]
    assert "execution_time_ms" in told.facts("data_import:cancelled")
    assert not told.of(PhaseTimed)
    assert not told.of(ErrorOccurred)


async def test_a_cancelled_task_is_told_and_stays_cancelled(tracker, told):
    started = asyncio.Event()

    @phase("data_import", flow=tracker)
    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert told.transitions[-1] == "data_import:cancelled"


def test_entering_again_after_an_error_is_one_retry(tracker, told):
    reading = phase("data_import", flow=tracker)
    for error in (Boom("once"), Boom("once"), None, None):
        try:
            with reading:
                if error:
                    raise error
        except Boom:
            continue
    assert len(told.of(ErrorOccurred)) == 2
    assert len(told.of(FlowRetried)) == 2
    assert [event.phase for event in told.of(PhaseTimed)] == ["data_import"] * 4


async def test_one_cause_is_one_error_however_many_levels_it_passes(tracker, told):
    error = Boom("no disk")
    with pytest.raises(Boom), phase("outer", flow=tracker), phase("inner", flow=tracker):
        raise error
    await tracker.fail_flow(error)
    assert [(event.phase, event.error) for event in told.of(ErrorOccurred)] == [("inner", "no disk")]
    assert told.transitions[-2:] == ["inner:failed", "outer:failed"]
    with phase("outer", flow=tracker), phase("inner", flow=tracker):
        pass
    assert len(told.of(FlowRetried)) == 1
    assert told.statuses == ["processing", "failed", "processing"]


async def test_an_error_that_was_reported_before_it_is_raised_is_told_once(tracker, told):
    @phase("data_import", flow=tracker)
    async def read() -> None:
        error = Boom("no disk")
        await tracker.report_error(error, is_recoverable=False)
        raise error

    with pytest.raises(Boom):
        await read()
    assert len(told.of(ErrorOccurred)) == 1


def generator():
    yield


async def async_generator():
    yield


@pytest.mark.parametrize("function", [generator, async_generator])
def test_a_generator_is_refused_when_it_is_decorated(function):
    with pytest.raises(TypeError, match=f"cannot time the generator {function.__name__}"):
        phase("data_import")(function)


def test_a_bare_decorator_is_refused():
    with pytest.raises(TypeError, match="Give the phase a name"):
        phase(generator)  # type: ignore[arg-type]


def test_a_class_method_object_is_refused():
    with pytest.raises(TypeError, match="below @classmethod"):
        phase("data_import")(classmethod(lambda cls: None))  # type: ignore[arg-type]


def test_without_a_flow_the_body_runs_and_the_log_says_so_once_a_minute(told, caplog):
    for _ in range(3):
        with phase("data_import") as run:
            run.note(rows=1)
    assert not told
    assert caplog.text.count("The phase 'data_import' has no flow") == 1
    assert process_delivery.losses.counts() == {"invalid": 3}


def test_in_strict_mode_a_missing_flow_raises(told, strict):
    with pytest.raises(InputInvalid, match="has no flow"), phase("data_import"):
        pass


def test_in_strict_mode_what_the_body_raises_wins_over_what_the_report_raises(tracker, strict, monkeypatch):
    original = Boom()

    @phase("data_import", flow=tracker)
    def read() -> None:
        monkeypatch.setattr("masterflow.tracker.flow_record.report", lambda *_args, **_fields: 1 / 0)
        raise original

    with pytest.raises(Boom) as raised:
        read()
    assert raised.value is original
    assert original.__context__ is None


@pytest.mark.parametrize("nonsense", [None, 7, "", "x" * 1000, ["a"]])
def test_a_nonsense_name_or_flow_lets_the_body_run(tracker, monkeypatch, nonsense):
    def report(*_args: object, **_fields: object) -> None:
        raise InputInvalid("nonsense")

    monkeypatch.setattr("masterflow.tracker.flow_record.report", report)
    done = []
    with phase(nonsense, flow=tracker):
        done.append(1)
    with phase("data_import", flow=nonsense):
        done.append(2)
    assert done == [1, 2]


@pytest.mark.parametrize("step", ["_tell_moment", "tell"])
@pytest.mark.parametrize(
    ("kind", "end"), [(KeyboardInterrupt, "cancelled"), (SoftTimeLimitExceeded, "failed")]
)
def test_a_phase_whose_entrance_is_interrupted_has_ended(tracker, told, monkeypatch, step, kind, end):
    real = getattr(FlowRecord, step)

    def interrupted(record: FlowRecord, *args: Any, **facts: Any) -> None:
        monkeypatch.setattr(FlowRecord, step, real)
        real(record, *args, **facts)
        raise kind("time is over")

    monkeypatch.setattr(FlowRecord, step, interrupted)
    with pytest.raises(kind), tracker, phase("data_import"):
        pytest.fail("the block is entered")
    assert told.phases == {"data_import": end}
    with tracker, phase("data_import"):
        pass
    assert told.phases == {"data_import": "completed"}


def test_a_context_that_is_none_is_refused_with_what_to_give(told, strict):
    with pytest.raises(InputInvalid, match=r"masterflow\.FlowContext"):
        create_progress_tracker(uuid4(), {"user_id": "ann"}).complete_flow({})  # type: ignore[call-overload]
