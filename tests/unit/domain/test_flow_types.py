import pytest

from masterflow.domain import InputInvalid
from masterflow.domain.flow_types.catalog import SPECIFICATIONS
from masterflow.domain.flow_types.progress import progress_at_start, progress_of
from masterflow.domain.flow_types.specification import ChildTable, FlowSpec
from masterflow.domain.phases import phase_order

STEPS = ("collect", "score", "rank")


@pytest.mark.parametrize("spec", SPECIFICATIONS.values(), ids=lambda spec: spec.flow_type)
def test_the_order_of_a_type_is_that_of_all_its_courses(spec: FlowSpec) -> None:
    assert len(set(spec.order)) == len(spec.order)
    for course in (*spec.courses, *spec.child_courses):
        assert [phase for phase in spec.order if phase in course] == list(course)
        assert sorted(course, key=lambda name: phase_order(name, spec.flow_type)) == list(course)


@pytest.mark.parametrize(
    ("written", "phase"),
    [
        ("Data Cleansing", "data_cleansing"),
        (" data-cleansing\n", "data_cleansing"),
        ("Attribute Mapping", "field_mapping_generation"),
        ("gap_analysis", None),
        ("x" * 300, None),
        (7, None),
        (None, None),
    ],
)
def test_a_phase_is_known_by_any_of_its_names(written: object, phase: str | None) -> None:
    assert SPECIFICATIONS["discovery"].phase(written) == phase


@pytest.mark.parametrize(
    ("flow_type", "alias", "phase"),
    [
        ("assessment", "initialization", "readiness_assessment"),
        ("assessment", "finalization", "recommendation_generation"),
        ("collection", "finalization", "synthesis"),
        ("collection", "initialization", "initialization"),
        ("discovery", "initialization", "initialization"),
    ],
)
def test_aliases_are_those_of_the_type(flow_type: str, alias: str, phase: str) -> None:
    assert SPECIFICATIONS[flow_type].phase(alias) == phase


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"aliases": {"gather": "colect"}}, "scoring has no phase colect; add it to its courses"),
        ({"required": frozenset({"sort"})}, "has no phase sort"),
        ({"starts_at": {"sort": 10}}, "has no phase sort"),
        ({"child": ChildTable(name="t", completed={"sort": "sorted"})}, "has no phase sort"),
        ({"child": ChildTable(name='t" drop')}, "is no name of a table"),
        ({"child": ChildTable(name="t", completed={"score": "a b"})}, "'a b' is no name of a table"),
    ],
)
def test_what_fits_nothing_in_a_specification_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputInvalid, match=said):
        FlowSpec(flow_type="scoring", courses=(STEPS,), **wrong)  # type: ignore[arg-type]


def test_a_type_that_nobody_specified_has_no_percentage_and_no_order() -> None:
    assert progress_at_start("unheard of", "data_import") is None
    assert progress_of("unheard of", status="processing", phase="data_import", snapshot={}) == (None, None)
    assert phase_order("data_import", "unheard of") == phase_order("asset_inventory", "unheard of")


@pytest.mark.parametrize(
    ("status", "snapshot", "shown"),
    [
        ("processing", {}, (10, None)),
        ("processing", {"progress": 12.5}, (12.5, None)),
        ("processing", {"progress_percentage": 250, "progress": 3}, (100, None)),
        ("processing", {"progress": float("nan")}, (10, None)),
        ("completed", {}, (100, None)),
        ("completed", {"progress": 100}, (100, None)),
        ("completed", {"progress": 66.7}, (100, "Completed, with its phases at 66.7 %.")),
    ],
)
def test_a_percentage_is_what_was_told_and_else_what_the_phase_says(
    status: str, snapshot: dict[str, object], shown: tuple[float, str | None]
) -> None:
    assert progress_of("discovery", status=status, phase="data_import", snapshot=snapshot) == shown
