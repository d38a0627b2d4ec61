import pytest

from masterflow.domain.backoff import pause_s


@pytest.mark.parametrize(
    ("failures", "pause"), [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.2), (7, 5.0), (8, 5.0), (100_000, 5.0)]
)
def test_pauses_double_up_to_the_longest(failures, pause):
    assert pause_s(failures, first_s=0.1, longest_s=5.0) == pytest.approx(pause)
