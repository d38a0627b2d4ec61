import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain.fleet.durations import PRECISION, bucket_of, count_up_to, quantile_ms, upper_bound_ms

_durations = st.floats(0.001, 1e10)


def _exact(durations: list[float], share: float) -> float:
    return sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]


@given(st.lists(_durations, min_size=1), st.sampled_from([0.01, 0.5, 0.95, 1.0]))
def test_a_quantile_is_that_of_the_durations_as_closely_as_promised(
    durations: list[float], share: float
) -> None:
    found = quantile_ms(Counter(map(bucket_of, durations)), share)
    assert found == pytest.approx(_exact(durations, share), rel=PRECISION)


@given(st.lists(_durations), st.lists(_durations))
def test_counts_of_two_lists_add_up_to_those_of_both(one: list[float], other: list[float]) -> None:
    together = Counter(map(bucket_of, one)) + Counter(map(bucket_of, other))
    assert together == Counter(map(bucket_of, one + other))


@given(_durations)
def test_a_duration_is_in_the_first_bucket_that_can_hold_it(milliseconds: float) -> None:
    bucket = bucket_of(milliseconds)
    assert milliseconds <= upper_bound_ms(bucket) * (1 + 1e-12)
    assert milliseconds > upper_bound_ms(bucket - 1) * (1 - 1e-12)


@given(st.lists(_durations), st.integers(-5, 30))
def test_what_took_at_most_a_power_of_two_is_counted_exactly(durations: list[float], doubling: int) -> None:
    exact = sum(milliseconds <= 2**doubling for milliseconds in durations)
    assert count_up_to(Counter(map(bucket_of, durations)), doubling) == exact


def test_what_took_no_time_has_quantiles_too() -> None:
    assert quantile_ms({bucket_of(0): 3}, 0.95) == 0
    assert quantile_ms({}, 0.95) is None


@given(st.floats(0, 1e300))
def test_whatever_a_duration_is_there_is_a_bucket_for_it(milliseconds: float) -> None:
    assert quantile_ms({bucket_of(milliseconds): 1}, 0.5) is not None
