from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain.fleet.sums import Dated, Sums
from masterflow.domain.fleet.windows import HORIZON_S, KEPT_S, WINDOWS, Window, limits_at

_NOW_S = 1_800_000_000
_keys = st.sampled_from([("started", "discovery", "failed"), ("cause", "KeyError"), ("phase_us", "a", "b")])
_dated = st.builds(
    Dated,
    st.integers((_NOW_S - 90 * 86_400) * 10**6, (_NOW_S + 3_600) * 10**6),
    _keys,
    st.integers(1, 10**12),
)
_windows = st.sampled_from(list(WINDOWS.values()))


@given(st.lists(_dated), _windows)
def test_a_window_holds_what_happened_in_it_and_nothing_else(dated: list[Dated], window: Window) -> None:
    sums = Sums()
    sums.add(dated, limits_at(_NOW_S))
    since_s = window.since_s(_NOW_S)
    exact: Counter[object] = Counter()
    for at_us, key, amount in dated:
        if since_s * 10**6 <= at_us < (_NOW_S - _NOW_S % window.step_s + window.step_s) * 10**6:
            exact[key] += amount
    assert sums.between(window.step_s, since_s, _NOW_S + 1) == exact


@given(st.lists(_dated), st.lists(_dated), st.integers(0, 90 * 86_400))
def test_what_is_taken_back_leaves_nothing_also_after_older_steps_are_forgotten(
    kept: list[Dated], taken: list[Dated], later_s: int
) -> None:
    limits = limits_at(_NOW_S)
    sums, only_kept = Sums(), Sums()
    sums.add(kept + taken, limits)
    limits = limits_at(_NOW_S + later_s)
    sums.forget(limits)
    sums.add(taken, limits, times=-1)
    only_kept.add(kept, limits)
    assert sums == only_kept


@given(st.lists(_dated), st.integers(0, 2**32))
def test_the_order_and_the_grouping_do_not_matter(dated: list[Dated], seed: int) -> None:
    limits = limits_at(_NOW_S)
    whole, parts = Sums(), [Sums() for _ in range(3)]
    whole.add(dated, limits)
    chance = Random(seed)
    for one in chance.sample(dated, len(dated)):
        chance.choice(parts).add([one], limits)
    joined = Sums()
    for part in parts:
        joined.add_all(part)
    assert joined == whole
    for part in parts:
        joined.add_all(part, times=-1)
    assert joined == Sums()


@given(_windows, st.integers(0, 4 * 10**9))
def test_the_sums_reach_back_to_the_window_before(window: Window, now_s: int) -> None:
    since_s, before_s = window.since_s(now_s), window.before_s(now_s)
    assert window.length_s <= now_s - since_s < window.length_s + window.bar_s
    assert before_s >= limits_at(now_s)[window.step_s] >= now_s - HORIZON_S - window.step_s
    assert since_s % window.step_s == before_s % window.step_s == window.bar_s % window.step_s == 0
    bars = window.bars(now_s)
    assert bars[0] == since_s
    assert bars[-1] <= now_s < bars[-1] + window.bar_s
    assert window.step_s in KEPT_S
