from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain.fleet.durations import bucket_of
from masterflow.domain.fleet.facts import CauseSpan, facts_of
from masterflow.domain.fleet.sums import Dated

_SECOND = 1_000_000
_ROW: dict[str, Any] = {
    "flow_id": UUID(int=1),
    "client_account_id": UUID(int=3),
    "engagement_id": UUID(int=2),
    "flow_type": "discovery",
    "flow_status": "processing",
    "created_us": 10 * _SECOND,
    "updated_us": 90 * _SECOND,
    "status_stamps": None,
    "times": None,
    "errors": None,
    "usage": None,
    "agents_usage": None,
    "waiting_us": None,
    "is_lost": False,
    "lost": None,
    "is_overdue": False,
}
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.just("calls"), inner, max_size=3)
    ),
    max_leaves=8,
)


def _stamp(seconds: int) -> str:
    return f"{seconds * _SECOND:016d}{UUID(int=0).hex}"


def test_a_flow_ended_when_the_merge_says_so_and_otherwise_when_its_row_changed() -> None:
    ended = ("ended", "discovery", "failed")
    row = _ROW | {"flow_status": "failed"}
    assert Dated(90 * _SECOND, ended, 1) in facts_of(row).dated
    row |= {"status_stamps": {"latest": [_stamp(50), "failed"]}}
    assert Dated(50 * _SECOND, ended, 1) in facts_of(row).dated
    assert not any(one.key[0] == "ended" for one in facts_of(_ROW).dated)


def test_a_phase_counts_when_it_ended() -> None:
    times = {
        "data_import": {"execution_time_ms": 1200.5, "completed_at": "1970-01-01T00:00:40+00:00"},
        "bare": 7,
        "odd": {"execution_time_ms": "long"},
        "negative": {"execution_time_ms": -1},
    }
    dated = [one for one in facts_of(_ROW | {"times": times}).dated if one.key[0] != "started"]
    assert dated == [
        Dated(40 * _SECOND, ("phase", "discovery", "data_import", bucket_of(1200.5)), 1),
        Dated(40 * _SECOND, ("phase_us", "discovery", "data_import"), 1_200_500),
        Dated(90 * _SECOND, ("phase", "discovery", "bare", bucket_of(7)), 1),
        Dated(90 * _SECOND, ("phase_us", "discovery", "bare"), 7_000),
    ]


def test_errors_of_one_cause_count_once_when_they_were_last_seen() -> None:
    errors = [
        ["no answer in 3 s", "1970-01-01T00:00:20+00:00"],
        ["no answer in 5 s", "1970-01-01T00:00:30"],
        ["no answer in 9 s", "1970-01-01T00:00:25+00:00"],
        [None, "no time"],
    ]
    facts = facts_of(_ROW | {"errors": errors})
    assert facts.causes["no answer in # s"] == CauseSpan(20 * _SECOND, 30 * _SECOND)
    assert Dated(30 * _SECOND, ("cause", "no answer in # s"), 1) in facts.dated
    assert Dated(90 * _SECOND, ("cause", "(no text)"), 1) in facts.dated


def test_cost_adds_up_in_billionths_of_a_dollar() -> None:
    figures = {"calls": 3, "input_tokens": 10, "output_tokens": 2, "cost_usd": 0.00117, "unpriced_calls": 0}
    row = _ROW | {"usage": figures, "agents_usage": {"Ann": {"small": figures}, "legacy": {"x": 1}}}
    dated = facts_of(row).dated
    assert Dated(10 * _SECOND, ("spent", "cost_nano_usd"), 1_170_000) in dated
    assert Dated(10 * _SECOND, ("usage", "Ann", "small", "calls"), 3) in dated
    assert not any("unpriced_calls" in one.key or "legacy" in one.key for one in dated)


@given(_json, _json, _json, _json, st.none() | st.integers(-(10**15), 10**17))
def test_no_row_is_too_odd(times: Any, usage: Any, agents: Any, stamps: Any, created_us: int | None) -> None:
    odd = {"times": times, "usage": usage, "agents_usage": agents, "status_stamps": stamps}
    facts = facts_of(_ROW | odd | {"created_us": created_us, "flow_status": "completed"})
    assert all(isinstance(one.at_us, int) and one.amount >= 0 for one in facts.dated)
