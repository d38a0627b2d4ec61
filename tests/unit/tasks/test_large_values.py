"""What is larger than any message, as a parser of Redis's answers sees it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.tasks.guards.values import Shortener

MOST = 50


def short(head: bytes, size: int) -> bytes:
    return b"short %d %b" % (size, head[:4])


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


VALUES = st.one_of(
    st.binary(max_size=MOST).map(bulk),
    st.sampled_from(
        [b"+OK\r\n", b":5\r\n", b"$-1\r\n", b"*-1\r\n", b"-ERR $99999999 is no size\r\n", b"_\r\n"]
    ),
    st.sampled_from([b"=8\r\ntxt:$999\r\n", b"!7\r\n$999\r\nx\r\n", b"*2\r\n:1\r\n:2\r\n"]),
)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@given(st.lists(VALUES, max_size=8), st.lists(st.integers(0, 10_000), max_size=6))
def test_answers_of_usual_sizes_are_left_as_they_are_however_they_come(
    values: list[bytes], cuts: list[int]
) -> None:
    answer, shortener = b"".join(values), Shortener(short, MOST)
    assert b"".join(map(shortener.take, in_pieces(answer, cuts))) == answer


@given(
    st.lists(VALUES, max_size=3),
    st.integers(MOST + 1, 400),
    st.lists(VALUES, max_size=3),
    st.lists(st.integers(0, 10_000), max_size=6),
)
def test_a_large_value_comes_as_a_short_one_and_nothing_else_is_changed(
    before: list[bytes], size: int, after: list[bytes], cuts: list[int]
) -> None:
    large, shortener = (b"$7\r\n" * 100)[:size], Shortener(short, MOST)
    answer = b"".join([*before, bulk(large), *after])
    read = b"".join(map(shortener.take, in_pieces(answer, cuts)))
    assert read == b"".join([*before, bulk(short(large, size)), *after])


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_no_more_than_the_beginning_of_it_is_kept(piece: int) -> None:
    shortener = Shortener(short, MOST)
    shortener.take(b"*2\r\n$1\r\nq\r\n$900000\r\n")
    for _ in range(0, 20_000, piece):
        assert shortener.take(b"x" * piece) == b""
    assert len(shortener._head) <= 4_000
