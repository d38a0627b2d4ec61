import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain.children.evidence import weigh
from tests.support.events.child_rows import (
    MAIN_COLUMNS,
    MAIN_PHASES,
    SHAPES,
    WRITTEN_AT,
    child_flow,
    failed_document,
    newer_document,
    old_document,
)

FOUR = list(MAIN_PHASES[:4])


_FIVE = dict.fromkeys((*MAIN_COLUMNS[:4], "data_validation_completed"), True)


def columns(*names: str) -> dict[str, Any]:
    return {f"{name}_completed": True for name in names}


@pytest.mark.parametrize(
    ("row", "completed"),
    [
        pytest.param({}, {}, id="an empty row proves nothing"),
        pytest.param(
            {
                **columns("data_import"),
                "phases_completed": ["data_import", "inventory"],
                "progress_percentage": 100,
            },
            {"data_import": "data_import_completed"},
            id="columns outweigh everything",
        ),
        pytest.param(
            {"phases_completed": ["attribute_mapping", "data_import", "unknown", 3]},
            {"data_import": "phases_completed", "field_mapping_generation": "phases_completed"},
            id="a list of names, in canonical order and by canonical names",
        ),
        pytest.param(
            {"phases_completed": {"data_import": True, "inventory": False}, "progress_percentage": 80},
            {
                "data_import": "phases_completed",
                "field_mapping_generation": "progress_percentage",
                "data_cleansing": "progress_percentage",
            },
            id="a map of names, which also denies",
        ),
        pytest.param(
            {"current_phase": "inventory", "progress_percentage": 16.7},
            dict.fromkeys(FOUR[:3], "current_phase"),
            id="the phases before the current one",
        ),
        pytest.param(
            {"current_phase": "data_import", "progress_percentage": 90},
            {"data_import": "progress_percentage"},
            id="the current phase denies what comes after it",
        ),
        pytest.param(
            {"progress_percentage": 80.0},
            dict.fromkeys(FOUR[:3], "progress_percentage"),
            id="progress in percent",
        ),
        pytest.param(
            {"progress_percentage": 0.8, "phases_completed": ["data_import"]},
            {
                "data_import": "phases_completed",
                "field_mapping_generation": "progress_percentage",
                "data_cleansing": "progress_percentage",
            },
            id="progress as a fraction, which a complete phase tells",
        ),
        pytest.param({"progress_percentage": 1.0}, {}, id="a progress of which nothing tells the scale"),
        pytest.param(
            {"progress_percentage": 100.0, "status": "completed"},
            {},
            id="what the monitor of the application writes, whatever the flow did",
        ),
        pytest.param(
            {"current_phase": "tech_debt"},
            dict.fromkeys(FOUR, "current_phase"),
            id="a phase that may be left out is not proven by a later one",
        ),
        pytest.param(
            {"current_phase": "Data Cleansing.step2"},
            dict.fromkeys(FOUR[:2], "current_phase"),
            id="a step of a phase, in words",
        ),
        pytest.param(
            {
                "phases_completed": {
                    "data_import": {"status": "completed"},
                    "field_mapping": "2026-01-01",
                    "data_cleansing": 1,
                    "asset_inventory": "true",
                    "dependencies": {"completed": False},
                    "tech_debt": "maybe",
                }
            },
            dict.fromkeys(FOUR, "phases_completed"),
            id="an object of states, times, numbers and words",
        ),
        pytest.param(
            {"phases_completed": [{"phase": "data_import"}, {"name": "inventory", "status": "failed"}]},
            {"data_import": "phases_completed"},
            id="a list of objects",
        ),
        pytest.param(
            {"phases_completed": "data_import, Field Mapping"},
            dict.fromkeys(FOUR[:2], "phases_completed"),
            id="names in one text",
        ),
        pytest.param(
            {"phases_completed": json.dumps(json.dumps(["data_import"]))},
            {"data_import": "phases_completed"},
            id="a list that was encoded twice",
        ),
        pytest.param(
            {"progress_percentage": 50.0},
            dict.fromkeys(FOUR[:1], "progress_percentage"),
            id="what only one of the scales would prove is not proven",
        ),
        pytest.param(
            {"crewai_state_data": {"tech_debt": {"status": "completed", "total_assets": 3}}},
            {},
            id="neither presence nor a section's own status proves an end",
        ),
        pytest.param(
            {"data_validation_completed": True, **columns("data_import")},
            {"data_import": "data_import_completed", "data_validation": "data_validation_completed"},
            id="the later column",
        ),
    ],
)
def test_the_more_trusted_witness_decides(row: dict[str, Any], completed: dict[str, str]) -> None:
    found = weigh(child_flow(**row)).completed
    assert found == completed
    assert list(found) == list(completed)


def test_the_newest_phase_completion_counts_wherever_it_stands() -> None:
    def section(at: str | None, **done: bool) -> dict[str, Any]:
        return {"legacy_data": {"updated_at": at, "phase_completion": done}}

    document = {
        "inventory": section("2026-01-01T00:00:00", data_import=True, inventory=True),
        "data_import": section(
            "2026-01-03T00:00:00Z", data_import=True, field_mapping=False, attribute_mapping=True
        ),
        "data_cleansing": section("2026-01-02T00:00:00+00:00", data_import=False),
    }
    for names in (list(document), list(reversed(document))):
        evidence = weigh(child_flow(crewai_state_data={name: document[name] for name in names}))
        assert evidence.completed == dict.fromkeys(FOUR[:2], "phase_completion")


def test_a_map_without_a_time_is_newer_than_those_of_earlier_phases() -> None:
    evidence = weigh(child_flow(crewai_state_data=old_document()))
    assert list(evidence.completed) == FOUR[:2]


@pytest.mark.parametrize(
    ("row", "current"),
    [
        ({}, None),
        ({"current_phase": "Dependencies "}, ("dependency_analysis", "current_phase")),
        (
            {"crewai_state_data": newer_document()},
            ("field_mapping_generation", "crewai_state_data.current_phase"),
        ),
        (
            {"crewai_state_data": {"inventory": {"x": 1}, "data_import": {"x": 1}}},
            ("asset_inventory", "crewai_state_data.inventory"),
        ),
        ({"crewai_state_data": {"inventory": [], "data_import": None, "tech_debt": {}}}, None),
    ],
)
def test_the_current_phase_is_the_named_one_or_the_last_that_began(
    row: dict[str, Any], current: tuple[str, str] | None
) -> None:
    assert weigh(child_flow(**row)).current == current


@pytest.mark.parametrize(
    ("row", "percentage"),
    [
        ({"progress_percentage": 0}, 0.0),
        ({"progress_percentage": 83.333333}, 83.33),
        ({"progress_percentage": 100}, 100.0),
        ({"progress_percentage": 0.5}, None),
        ({"progress_percentage": 1}, None),
        ({"progress_percentage": 0.5, **columns("data_import")}, 50.0),
        ({"progress_percentage": 1, "status": "completed", "completed_at": WRITTEN_AT}, 100.0),
        ({"progress_percentage": 0.0, "crewai_state_data": {"progress": 60}}, 60.0),
        ({"progress_percentage": 0.6, "crewai_state_data": {"progress": 60}}, 60.0),
        ({"progress_percentage": 250}, None),
        ({"progress_percentage": -3}, None),
    ],
)
def test_progress_is_read_where_something_tells_its_scale(
    row: dict[str, Any], percentage: float | None
) -> None:
    assert weigh(child_flow(**row)).percentage == percentage


def test_what_is_not_understood_is_named_and_denies_nothing() -> None:
    row = {
        "progress_percentage": 1.0,
        "current_phase": "resuming",
        "phases_completed": {"data_import": "maybe", "nonsense": True},
        "crewai_state_data": "text",
    }
    evidence = weigh(child_flow(**row))
    assert evidence.completed == {}
    assert evidence.unread == {
        "crewai_state_data": "is no object",
        "phases_completed": "not understood: data_import, nonsense",
        "current_phase": "resuming is no phase",
        "progress_percentage": "1 may be a fraction or a percentage",
    }


def test_parts_of_a_row_that_deny_each_other_are_told() -> None:
    document = {
        "data_import": {"legacy_data": {"phase_completion": {"data_import": True, "field_mapping": 0}}}
    }
    row = columns("data_import", "field_mapping", "data_cleansing") | {"crewai_state_data": document}
    assert weigh(child_flow(**row)).contradictions == {
        "field_mapping_generation": "columns says complete, phase_completion says not complete",
        "data_cleansing": "columns says complete, the document has no section of it",
    }


@pytest.mark.parametrize("progress", [None, "80", True, float("nan"), float("inf")])
def test_a_progress_that_is_no_number_is_none(progress: Any) -> None:
    assert weigh(child_flow(progress_percentage=progress)).percentage is None


def test_counts_are_found_in_the_root_and_in_the_import() -> None:
    counts = weigh(child_flow(crewai_state_data=newer_document(rows=412))).counts
    assert counts == {
        "records_processed": 412,
        "records_valid": 405,
        "records_failed": 7,
        "raw_rows": 412,
        "agent_insights": 2,
    }


def test_errors_are_found_once_each_with_their_times_and_without_secrets() -> None:
    twice = failed_document()["errors"][0]
    document = {
        "errors": [twice, twice],
        "data_import": {"legacy_data": {"errors": ["no time", {"message": ""}]}},
    }
    errors = weigh(child_flow(crewai_state_data=document)).errors
    assert [(error.phase, error.at) for error in errors] == [
        ("data_import", None),
        ("data_import", datetime(2026, 2, 2, 3, 0, 1, tzinfo=UTC)),
    ]
    assert "hunter2" not in errors[1].text


def test_an_error_later_than_its_row_has_no_time() -> None:
    item = {"error": "clock off", "timestamp": (WRITTEN_AT + timedelta(hours=5)).isoformat()}
    [error] = weigh(child_flow(crewai_state_data={"errors": [item]})).errors
    assert (error.phase, error.at) == ("flow", None)


def test_only_the_newest_errors_are_kept_each_of_them_short() -> None:
    items = [
        {"error": f"{number} {'x' * 9_000}", "timestamp": f"2026-01-01T00:{number:02}:00"}
        for number in range(50)
    ]
    errors = weigh(child_flow(crewai_state_data={"errors": items})).errors
    assert [error.text.split()[0] for error in errors] == [str(number) for number in range(30, 50)]
    assert max(len(error.text) for error in errors) <= 500


@pytest.mark.parametrize(
    ("section", "milliseconds"),
    [
        ({"started_at": "2026-01-01T00:00:00", "completed_at": "2026-01-01T00:00:02.5Z"}, [2_500.0]),
        (
            {"legacy_data": {"started_at": "2026-01-01T00:00:00", "completed_at": "2026-01-01T00:00:01"}},
            [1_000.0],
        ),
        (
            {"legacy_data": {"started_at": "2026-01-01T00:00:00", "updated_at": "2026-02-01T00:00:00"}},
            [],
        ),
        ({"started_at": "2026-01-01T00:00:00", "completed_at": "2026-01-01T00:00:00"}, []),
        ({"started_at": "2026-01-01T00:00:05", "completed_at": "2026-01-01T00:00:00"}, []),
        ({"started_at": "2026-01-01T00:00:00", "timestamp": "2026-01-01T00:00:09"}, []),
        ({"started_at": "yesterday", "completed_at": 7}, []),
    ],
)
def test_a_time_needs_a_start_and_an_end_that_differ(
    section: dict[str, Any], milliseconds: list[float]
) -> None:
    evidence = weigh(child_flow(crewai_state_data={"data_import": section}))
    assert [time.milliseconds for time in evidence.times] == milliseconds


def test_a_start_that_sections_share_is_the_flows_and_tells_no_phases_time() -> None:
    def section(end: str) -> dict[str, Any]:
        return {"started_at": "2026-01-01T00:00:00", "completed_at": f"2026-01-01T00:{end}:00"}

    assert (
        weigh(child_flow(crewai_state_data={"data_import": section("01"), "inventory": section("09")})).times
        == ()
    )


@pytest.mark.parametrize(
    ("row", "is_finished"),
    [
        (dict.fromkeys(MAIN_COLUMNS, True), True),
        (dict.fromkeys(MAIN_COLUMNS[:5], True), False),
        ({"status": "completed", "completed_at": WRITTEN_AT}, True),
        ({"status": "completed"}, False),
        (_FIVE, False),
        (_FIVE | {"progress_percentage": 100.0}, True),
        (_FIVE | {"status": "completed"}, True),
        ({"progress_percentage": 100.0}, False),
        ({"phases_completed": list(MAIN_PHASES)}, False),
    ],
)
def test_only_all_columns_or_a_dated_status_prove_the_flow_finished(
    row: dict[str, Any], is_finished: bool
) -> None:
    assert weigh(child_flow(**row)).is_finished is is_finished


_NAMES = st.sampled_from(
    [*SHAPES["old and complete"]["crewai_state_data"], "errors", "phase_completion", "x"]
)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=4)),
    max_leaves=20,
)


@given(document=_JSON, phases=_JSON, phase=_JSON, progress=_JSON)
def test_nothing_a_row_may_hold_raises(document: Any, phases: Any, phase: Any, progress: Any) -> None:
    row = {"current_phase": phase, "progress_percentage": progress}
    weigh(child_flow(crewai_state_data=document, phases_completed=phases, **row))


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_heavy_or_personal_is_taken_over(name: str) -> None:
    text = json.dumps(weigh(child_flow(**SHAPES[name])), default=repr)
    assert len(text) < 12_000
    for kept_out in ("app-prd-", "db-1", "u-77", "prose", "hunter2"):
        assert kept_out not in text
