import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from masterflow.domain.events import ErrorOccurred, FlowRetried, PhaseTimed
from masterflow.tracker import FlowThreadPool, outbox_status
from masterflow.tracker.hooks import phase
from masterflow.tracker.tracker import current_flow

pytestmark = pytest.mark.usefixtures("quiet_losses")


def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_an_attempt_ends_in_another_thread_than_it_began(tracker, told):
    attempt = tracker.begin("scoring", "going")
    in_a_thread(lambda: attempt.end(rows=3))
    assert told.transitions == ["scoring:processing", "scoring:completed"]
    assert told.facts("scoring:completed")["rows"] == 3
    assert [event.phase for event in told.of(PhaseTimed)] == ["scoring"]
    assert told.snapshot["status"] == "completed"


def test_ending_twice_changes_nothing_and_is_counted(tracker, told):
    before = outbox_status()["repeated_ends"]
    attempt = tracker.begin("scoring")
    attempt.end()
    attempt.end(status="failed", error="late")
    assert told.transitions == ["scoring:processing", "scoring:completed"]
    assert not told.errors
    assert outbox_status()["repeated_ends"] == before + 1


def test_many_threads_that_end_one_attempt_end_it_once(tracker, told):
    attempt, barrier = tracker.begin("scoring"), threading.Barrier(8)

    def end(_number):
        barrier.wait()
        attempt.end()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(end, range(8)))
    assert told.transitions == ["scoring:processing", "scoring:completed"]


def test_several_attempts_of_one_phase_are_open_at_once(tracker, told):
    attempts = [tracker.begin("scoring") for _ in range(3)]
    for attempt in attempts:
        attempt.end()
    assert told.transitions == ["scoring:processing"] * 3 + ["scoring:completed"] * 3


@pytest.mark.parametrize(
    ("error", "status", "errors"),
    [
        (ValueError("no"), "failed", 1),
        ("no", "failed", 1),
        (asyncio.CancelledError(), "cancelled", 0),
        (None, "completed", 0),
    ],
)
def test_an_attempt_ends_as_its_error_says(tracker, told, error, status, errors):
    tracker.begin("scoring").end(error=error)
    assert told.transitions[-1] == f"scoring:{status}"
    assert len(told.errors) == errors


def test_a_status_of_ones_own_wins(tracker, told):
    tracker.begin("scoring").end(status="skipped")
    assert told.transitions[-1] == "scoring:skipped"


def test_an_attempt_after_a_failed_one_is_a_retry(tracker, told):
    tracker.begin("scoring").end(error=ValueError("no"))
    tracker.begin("scoring").end()
    assert len(told.of(FlowRetried)) == 1


def test_an_error_that_a_phase_reported_is_not_reported_by_the_attempt_around_it(tracker, told):
    attempt, error = tracker.begin("batch"), ValueError("no")
    with pytest.raises(ValueError, match="no"), phase("item", flow=tracker):
        raise error
    attempt.end(error=error)
    assert told.errors == [("item", "no")]
    assert told.transitions[-1] == "batch:failed"


def test_an_error_from_before_an_attempt_is_reported_when_it_ends_by_it(tracker, told):
    error = ValueError("no")
    tracker.begin("first").end(error=error)
    tracker.begin("second").end(error=error)
    assert told.errors == [("first", "no"), ("second", "no")]


def test_an_attempt_that_nonsense_began_may_be_ended(tracker, told, monkeypatch):
    monkeypatch.setattr(tracker, "record", None)
    attempt = tracker.begin("scoring")
    attempt.end()
    assert not told


def test_an_attempt_that_was_not_ended_ends_with_nothing_else(tracker, told):
    tracker.begin("scoring")
    tracker.complete_phase("scoring")
    assert not told.of(PhaseTimed)


class Boom(Exception):
    pass


async def test_errors_of_tasks_side_by_side_are_each_told_once(tracker, told):
    async def branch(name):
        with phase(f"outer {name}"):
            try:
                with phase(f"inner {name}"):
                    await asyncio.sleep(0)
                    raise Boom(f"error of {name}")
            finally:
                for _ in range(3):
                    await asyncio.sleep(0)

    with tracker:
        await asyncio.gather(branch("A"), branch("B"), return_exceptions=True)
    assert sorted(told.errors) == [("inner A", "error of A"), ("inner B", "error of B")]


async def test_an_error_is_told_once_though_another_phase_starts_meanwhile(tracker, told):
    left = asyncio.Event()

    async def one():
        with phase("outer"):
            try:
                with phase("inner"):
                    raise Boom("only one")
            finally:
                left.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)

    async def other():
        await left.wait()
        with phase("beside"):
            pass

    with tracker:
        await asyncio.gather(one(), other(), return_exceptions=True)
    assert told.errors == [("inner", "only one")]


def test_two_errors_with_one_text_in_two_phases_are_two(tracker, told):
    for name in ("first", "second"):
        with pytest.raises(Boom), phase(name, flow=tracker):
            raise Boom("connection refused")
    assert [one for one, _ in told.errors] == ["first", "second"]


async def test_a_group_of_errors_that_were_told_is_not_told_again(tracker, told):
    async def fail(name):
        with phase(name):
            raise Boom(name)

    async def fail_both():
        with tracker, phase("both"):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail("a"))
                group.create_task(fail("b"))

    with pytest.raises(ExceptionGroup):
        await fail_both()
    assert told.errors == [("a", "a"), ("b", "b")]
    assert told.transitions[-1] == "both:failed"
    assert told.statuses == ["processing", "failed"]


@phase("scoring")
def score(number):
    return number, current_flow()


def test_a_function_is_carried_into_any_thread_with_its_flow(tracker, told):
    with tracker, ThreadPoolExecutor(4) as pool:
        results = list(pool.map(tracker.in_thread(score), range(8)))
    assert results == [(number, tracker) for number in range(8)]
    assert sorted(told.transitions) == ["scoring:completed"] * 8 + ["scoring:processing"] * 8


def test_a_carried_function_runs_in_many_threads_at_once(tracker, told):
    all_inside = threading.Barrier(4)

    @phase("scoring")
    def meet(_number):
        all_inside.wait(timeout=10)
        return current_flow()

    with tracker, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tracker.in_thread(meet), range(4))) == [tracker] * 4


def test_our_thread_pool_carries_the_flow_by_itself(tracker, told):
    with tracker, phase("batch"), FlowThreadPool(4) as pool:
        assert list(pool.map(score, range(8))) == [(number, tracker) for number in range(8)]
    assert told.transitions.count("scoring:completed") == 8


async def test_our_thread_pool_is_an_executor_of_an_event_loop(tracker, told):
    with tracker, FlowThreadPool(1) as pool:
        assert await asyncio.get_running_loop().run_in_executor(pool, score, 1) == (1, tracker)


def test_the_flow_need_not_be_the_current_one_to_be_carried(tracker, told):
    in_a_thread(lambda: tracker.in_thread(score)(1))
    assert told.transitions == ["scoring:processing", "scoring:completed"]
    assert current_flow() is None


async def test_a_function_is_carried_into_an_executor(tracker, told):
    with tracker:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, tracker.in_thread(score), 1) == (1, tracker)


def test_an_error_in_a_thread_is_told_once_though_the_phase_around_it_fails_too(tracker, told):
    @phase("item")
    def fail():
        raise Boom("no")

    with pytest.raises(Boom), tracker, phase("batch"), ThreadPoolExecutor(1) as pool:
        pool.submit(tracker.in_thread(fail)).result()
    assert told.errors == [("item", "no")]


def test_a_phase_that_no_flow_is_around_says_what_to_do(told, caplog):
    in_a_thread(lambda: score(1))
    assert "tracker.in_thread(function)" in caplog.text
    assert "flow=tracker" in caplog.text


def test_a_wait_stops_the_watch_of_attempts_too(tracker, told, monkeypatch):
    now_s = 0.0
    monkeypatch.setattr("masterflow.tracker.attempts.time", SimpleNamespace(monotonic=lambda: now_s))
    attempt = tracker.begin("approval")
    tracker.pause_for_user_input()
    now_s = 60.0
    tracker.resume_after_user_input()
    attempt.end()
    assert told.of(PhaseTimed)[0].execution_time_ms == 0
    assert not told.of(ErrorOccurred)
