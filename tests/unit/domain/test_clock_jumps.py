from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from masterflow.domain.clock import HybridClock

START_S = 1_800_000_000
DAY_S = 86_400


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """What reads the clock after so many seconds, while the machine's is so many ahead; in seconds."""
    clock = HybridClock()

    def at(run_s: float, ahead_s: float = 0.0) -> float:
        monkeypatch.setattr("masterflow.domain.clock._run_ns", lambda: int(run_s * 1e9))
        monkeypatch.setattr("time.time_ns", lambda: int((START_S + run_s + ahead_s) * 1e9))
        return clock.tick_microseconds() / 1e6 - START_S

    return at


def test_one_bad_reading_moves_no_event(at):
    assert at(0) == 0
    assert at(1, ahead_s=DAY_S) == 1
    assert [at(second) for second in (2, 3, 4)] == [2, 3, 4]


def test_small_steps_are_followed_at_once(at):
    at(0)
    assert at(10, ahead_s=0.5) == pytest.approx(10.5)
    assert at(20, ahead_s=1.2) == pytest.approx(21.2)


def test_a_jump_is_followed_once_it_has_lasted_for_a_minute(at):
    at(0)
    assert at(1, ahead_s=100) == 1
    assert at(60, ahead_s=100) == 60
    assert at(61, ahead_s=100) == 161


def test_a_jump_out_of_the_workers_bounds_has_to_last_for_ten_minutes(at):
    at(0)
    assert at(1, ahead_s=DAY_S) == 1
    assert at(600, ahead_s=DAY_S) == 600
    assert at(601, ahead_s=DAY_S) == 601 + DAY_S


def test_a_reading_between_bad_ones_ends_a_jump(at):
    at(0)
    for second in range(1, 2_000, 100):
        assert at(second, ahead_s=DAY_S) == second
        assert at(second + 50) == second + 50


def test_no_event_is_earlier_than_the_one_before_it_whatever_the_machine_says(at):
    aheads = [0, 3_600, -3_600, 0, 5, -5, DAY_S, -DAY_S] * 30
    times = [at(20 * number, ahead_s=ahead_s) for number, ahead_s in enumerate(aheads)]
    times += [at(10_000 + 20 * number, ahead_s=-3_600) for number in range(30)]
    assert all(earlier < later for earlier, later in pairwise(times))


def test_a_flow_that_is_resumed_goes_on_behind_the_newest_time_known_of_it() -> None:
    clock, flow = HybridClock(), UUID(int=1)
    known = clock.tick() + timedelta(seconds=100)
    clock.observe(flow, known)
    first = clock.tick(flow)
    assert known < first < clock.tick(flow)
    assert clock.tick() < known
