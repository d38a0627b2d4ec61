from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.status.control.lines import lines_of
from masterflow.status.control.views import waiting_flow
from masterflow.status.page.control import forms_of
from masterflow.status.page.gantt import gantt_of
from masterflow.status.reading.rows import bar_views, phase_views, status_of
from masterflow.status.timeline import bars_of, dated_entries, phase_states

_BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def told(second: float, phase: str, status: str, **metadata: Any) -> dict[str, Any]:
    at = (_BEGIN + timedelta(seconds=second)).isoformat()
    return {"phase": phase, "status": status, "timestamp": at, "metadata": metadata}


def shape(transitions: list[Any], *, is_over: bool = False) -> list[tuple[Any, ...]]:
    bars = bars_of(transitions, is_over=is_over, over_at=_BEGIN + timedelta(seconds=99))
    return [
        (
            bar.phase,
            bar.attempt,
            bar.status,
            (bar.started_at - _BEGIN).total_seconds(),
            bar.ended_at and (bar.ended_at - _BEGIN).total_seconds(),
        )
        for bar in bars
    ]


def test_a_start_and_an_end_make_a_bar() -> None:
    assert shape([told(1, "a", "processing"), told(5, "a", "completed")]) == [("a", 1, "completed", 1, 5)]


def test_what_a_backfill_found_is_no_attempt_and_stretches_no_axis() -> None:
    place = {"timestamp": "1970-01-01T00:00:00.000010+00:00", "phase": "a", "status": "completed"}
    found = place | {"metadata": {"source": "backfill", "time": "unknown"}}
    assert shape([found, told(1, "a", "processing"), told(5, "a", "completed")]) == [
        ("a", 1, "completed", 1, 5)
    ]
    assert [entry["timestamp"] for entry in dated_entries([found])] == [None]
    known = place | {"metadata": {"source": "backfill", "time": "2026-01-01T00:00:00+00:00"}}
    assert [entry["timestamp"] for entry in dated_entries([known])] == ["2026-01-01T00:00:00+00:00"]
    [view] = phase_views({"a": {"execution_time_ms": 5, "attempts": 0}}, {})
    assert view.attempts == 0


def test_a_second_start_is_a_second_attempt() -> None:
    transitions = [
        told(1, "a", "processing"),
        told(2, "a", "failed"),
        told(3, "a", "processing"),
        told(4, "a", "completed"),
    ]
    assert shape(transitions) == [("a", 1, "failed", 1, 2), ("a", 2, "completed", 3, 4)]


def test_attempts_at_once_end_as_those_that_began_when_they_say() -> None:
    starts = [told(second, "a", "processing") for second in (1, 2, 3)]
    ends = [
        told(5, "a", "completed", execution_time_ms=4_000),
        told(6, "a", "failed", execution_time_ms=3_000),
        told(9, "a", "completed", execution_time_ms=7_000),
    ]
    assert shape([*starts, *ends]) == [
        ("a", 1, "completed", 1, 5),
        ("a", 2, "completed", 2, 9),
        ("a", 3, "failed", 3, 6),
    ]


def test_a_pause_is_a_wait_inside_one_bar() -> None:
    transitions = [
        told(1, "a", "processing"),
        told(2, "a", "paused", awaiting_approval=True),
        told(7, "a", "processing", is_resumed=True),
        told(9, "a", "completed"),
    ]
    (bar,) = bars_of(transitions, is_over=True)
    (wait,) = bar.waits
    assert (bar.attempt, bar.status, wait.for_approval) == (1, "completed", True)
    assert wait.ended_at is not None
    assert (wait.ended_at - wait.started_at).total_seconds() == 5


def test_what_is_open_when_the_flow_ended_has_ended_too() -> None:
    assert shape([told(1, "a", "processing")], is_over=True) == [("a", 1, "unfinished", 1, 99)]
    assert shape([told(1, "a", "processing")]) == [("a", 1, "processing", 1, None)]


def test_an_end_without_a_start_begins_as_long_before_as_it_took() -> None:
    assert shape([told(10, "a", "completed", execution_time_ms=4000)]) == [("a", 1, "completed", 6, 10)]


def test_the_newest_status_of_each_phase_is_the_one_that_comes_last() -> None:
    phases = ["a", "with: colon", "a", None, 7, "b" * 200]
    statuses = ["processing", "failed", "completed", "failed", True, "s" * 80]
    states = {"a": "completed", "with: colon": "failed", "7": "true", "b" * 100: "s" * 40}
    assert phase_states(phases, statuses) == states
    assert phase_states(None, "x") == {}


def test_times_of_older_writers_are_understood() -> None:
    times = {"data_import": 5, "mapping": {"execution_time_ms": 2.5, "recorded_at": "2025-08-14T20:33:53"}}
    phases = {view.phase: view for view in phase_views(times, {})}
    assert phases["data_import"].execution_time_ms is None
    assert phases["mapping"].execution_time_ms == 2.5
    assert phases["mapping"].completed_at == "2025-08-14T20:33:53"


_junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
_odd_entry = st.fixed_dictionaries(
    {},
    optional={
        "phase": _junk,
        "status": st.sampled_from(["processing", "paused", "completed", "failed"]) | _junk,
        "timestamp": st.sampled_from(
            ["2026-11-02T09:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"]
        )
        | _junk,
        "metadata": st.fixed_dictionaries({}, optional={"execution_time_ms": _junk, "message": _junk})
        | _junk,
        "error": _junk,
    },
)


_ids = st.sampled_from(["0198c4a2-7d5e-7c3a-9b0e-3f8f6f1f2a11", "5b2f0f0e-6a52-5c3c-9d5b-6f0f4b1c7a10"])
_odd_request = st.fixed_dictionaries(
    {
        "id": _ids,
        "timestamp": st.just("2026-11-02T09:00:00.000000+00:00"),
        "kind": st.sampled_from(["cancel", "pause", "answer", "asked", "settled"]) | _junk,
    },
    optional={
        **dict.fromkeys(("by", "reason", "answer", "key", "question", "options", "answer_schema"), _junk),
        **dict.fromkeys(("expires_at", "default", "phase", "outcome", "value", "request_id"), _junk),
        "question_id": _ids | _junk,
    },
)


@given(
    st.lists(_odd_entry, max_size=12) | _junk,
    _junk,
    _junk,
    st.lists(_odd_request | _junk, max_size=6) | _junk,
)
def test_whatever_a_row_holds_it_can_be_shown(entries: Any, times: Any, snapshot: Any, control: Any) -> None:
    views = bar_views(bars_of(entries, is_over=True, over_at=_BEGIN))
    errors = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    chart = gantt_of(views, errors, phase_views(times, phase_states(entries, entries)))
    for row in chart.rows:
        for span in (*row.bars, *row.waits, *row.errors):
            assert 0 <= span.x <= 100
            assert span.x + span.width <= 100.001
    columns: dict[str, Any] = {
        **dict.fromkeys(
            ("flow_id", "engagement_id", "client_account_id"), "0198c4a2-7d5e-7c3a-9b0e-3f8f6f1f2a11"
        ),
        **dict.fromkeys(("created_at", "updated_at", "flow_name"), None),
        **dict.fromkeys(("retry_count", "error_count", "collaboration_count"), 0),
        **{"flow_status": "failed", "flow_type": "discovery", "user_id": "ann", "current_phase": None},
        **{
            "snapshot": snapshot,
            "phases": entries,
            "statuses": times,
            "entries": entries,
            "floors": times,
            "times": times,
            "status_stamps": times,
            "usage": snapshot,
            "budget": times,
            "agents_usage": {"a": {"m": snapshot}, "b": times},
            "control": control,
            "is_lost": True,
            "lost": snapshot,
            "is_overdue": True,
            "overdue": entries,
            "deadline_at": snapshot,
        },
    }
    shown = status_of(columns, None)
    assert shown.status == "failed"
    forms_of(shown.questions)
    lines_of(shown.requests, shown.questions)
    for status in FLOW_STATUSES:
        waiting_flow({**columns, "flow_status": status, "since_us": 0})


@pytest.mark.parametrize("seconds", [0, 0.004, 7, 3_000, 90_000, 40_000_000])
def test_the_axis_has_a_few_marks_whatever_the_length(seconds: float) -> None:
    bars = bar_views(bars_of([told(0, "a", "processing"), told(seconds, "a", "completed")], is_over=True))
    chart = gantt_of(bars, [], [])
    assert 1 <= len(chart.ticks) <= 8
    assert chart.ticks[0].label == "0"
