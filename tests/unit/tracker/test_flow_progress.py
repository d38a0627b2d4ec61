import math

import pytest

from masterflow.domain.events import MetadataUpdated, ProgressReported
from masterflow.domain.flow_types.catalog import SPECIFICATIONS
from masterflow.domain.flow_types.progress import progress_at_start
from masterflow.domain.phases import FLOW_TYPES
from masterflow.tracker.hooks import phase
from masterflow.tracker.tracker import create_progress_tracker
from tests.support.events.reported import CONTEXT, FLOW_ID

pytestmark = pytest.mark.usefixtures("quiet_losses")

OWN = ("collect", "score", "rank", "write_report")


def of(**declared):
    return create_progress_tracker(FLOW_ID, CONTEXT, **declared)


def course(told, tracker, phases):
    with tracker:
        for name in phases:
            with phase(name):
                pass
    return [event.snapshot.get("progress") for event in told.of(ProgressReported)]


def test_progress_follows_from_the_phases_that_are_declared(told):
    assert course(told, of(phases=OWN), OWN) == [0, 25, 25, 50, 50, 75, 75, 100]


def test_declared_phases_are_known_in_any_case_and_others_change_nothing(told):
    assert course(told, of(phases=OWN), (" Collect", "notify", "SCORE")) == [0, 25, 25, 25, 25, 50]


@pytest.mark.parametrize("flow_type", FLOW_TYPES)
def test_each_type_of_flow_has_its_phases(told, flow_type):
    for phases in SPECIFICATIONS[flow_type].courses:
        told.clear()
        percents = course(told, of(flow_type=flow_type), phases)
        assert percents == sorted(percents)
        assert (percents[0], percents[-1]) == (0, 100)


@pytest.mark.parametrize(
    "flow_type", [name for name in FLOW_TYPES if name not in ("discovery", "collection")]
)
def test_a_phase_that_only_one_type_has_tells_the_type(told, flow_type):
    phases = SPECIFICATIONS[flow_type].courses[0]
    assert course(told, of(), phases)[-1] == 100


@pytest.mark.parametrize("name", ["own phase", "initialization", "dependency_analysis", "synthesis"])
def test_what_could_be_of_several_types_or_of_none_has_no_number(told, name):
    course(told, of(), [name])
    assert "progress" not in told.snapshot
    assert "progress_percentage" not in told.snapshot


def test_a_failed_phase_is_not_done_and_its_retry_is(told):
    tracker = of(phases=OWN)
    tracker.start_phase("collect")
    tracker.report_error("no", is_recoverable=False)
    assert told.snapshot["progress"] == 0
    tracker.start_phase("collect")
    tracker.complete_phase("collect")
    assert told.snapshot["progress"] == 25


def test_phases_side_by_side_count_when_they_are_done(told):
    tracker = of(phases=OWN)
    first, second = tracker.begin("collect"), tracker.begin("score")
    second.end()
    assert told.snapshot["progress"] == 25
    first.end()
    assert told.snapshot["progress"] == 50


def test_a_phase_with_many_attempts_is_done_with_the_last_of_them(told):
    attempts = [(tracker := of(phases=OWN)).begin("collect"), tracker.begin("collect")]
    attempts[0].end()
    assert told.snapshot["progress"] == 0
    attempts[1].end()
    assert told.snapshot["progress"] == 25


def test_a_flow_that_goes_on_in_another_process_counts_what_came_before(told):
    tracker = of(phases=OWN)
    tracker.start_phase("rank")
    assert told.snapshot["progress"] == 50


@pytest.mark.parametrize(("percent", "shown"), [(35, 35), (12.5, 12.5), (-1, 0), (250, 100)])
def test_progress_may_be_set(tracker, told, percent, shown):
    tracker.set_progress(percent, "sorting")
    assert told.snapshot["progress"] == told.snapshot["progress_percentage"] == shown
    assert told.snapshot["message"] == "sorting"


def test_what_was_set_stays_over_phases_that_nobody_declared(tracker, told):
    tracker.set_progress(60)
    tracker.start_phase("data_import")
    assert told.snapshot["progress"] == 60


def test_what_was_set_stays_until_a_declared_phase_says_more(told):
    tracker = of(phases=OWN)
    tracker.start_phase("collect")
    tracker.set_progress(12)
    assert told.snapshot["progress"] == 12
    tracker.complete_phase("collect")
    assert told.snapshot["progress"] == 25


@pytest.mark.parametrize("nonsense", [None, "half", math.nan, True, [1]])
def test_a_progress_that_is_no_number_is_refused(tracker, told, nonsense):
    tracker.set_progress(nonsense)
    assert not told


def test_a_completed_flow_is_at_100(told):
    of(phases=OWN).complete_flow()
    assert told.snapshot["progress"] == 100


@pytest.mark.parametrize("nonsense", [None, 7, [1], "collect"])
def test_phases_that_make_no_sense_cost_the_progress_and_no_more(told, nonsense):
    tracker = of(phases=nonsense)
    tracker.start_phase("collect")
    assert told.transitions == ["collect:processing"]


def test_metadata_is_told(tracker, told):
    tracker.update_metadata({"source": "cmdb"})
    assert told.of(MetadataUpdated)[0].updates == {"source": "cmdb"}


@pytest.mark.parametrize(
    ("flow_type", "name", "percent"),
    [
        ("discovery", "initialization", 0),
        ("discovery", "dependency_analysis", 70),
        ("assessment", "dependency_analysis", 42.9),
        ("assessment", "initialization", 0),
        ("collection", "data_validation", 75),
        ("planning", "cost_estimation", 60),
        ("finops", "data_import", None),
        ("unheard of", "data_import", None),
    ],
)
def test_the_type_says_at_which_percentage_a_phase_starts(flow_type, name, percent):
    assert progress_at_start(flow_type, name) == percent
