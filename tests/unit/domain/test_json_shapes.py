import math

import pytest

from masterflow.domain.json_shapes import as_list, as_map, count_of, number_of

ODD = [None, True, "1", [1], {"a": 1}, math.nan, math.inf, -math.inf, 10**5_000, -(10**5_000), 1e300]


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_what_is_no_number_that_can_be_shown_is_none(value: object) -> None:
    assert number_of(value) is None


def test_other_shapes_are_what_they_are_or_empty() -> None:
    assert [number_of(0), number_of(-2), number_of(1.5)] == [0.0, -2.0, 1.5]
    assert (as_map({"a": 1}), as_map([1]), as_list([1]), as_list({"a": 1})) == ({"a": 1}, {}, [1], [])
    assert [count_of(value) for value in ([1, 2], 3, 3.9, -1, True, "2", 10**5_000, None)] == [
        2,
        3,
        3,
        0,
        0,
        0,
        0,
        0,
    ]
