import pytest

from masterflow.domain import InputInvalid
from masterflow.scripts.bench.comparison import document
from masterflow.scripts.bench.comparison.results import Results
from masterflow.scripts.bench.peers.workload import NEWEST, PHASES, Spec, Stopwatch, Unequal, expect_steps

FULL = Spec(1, is_full=True)


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        (Spec(1), list(range(10))),
        (Spec(1, rounds=20), list(range(100, 200))),
        (FULL, list(range(-90, 10))),
    ],
)
def test_what_is_there_once_and_in_order_counts(spec, steps):
    expect_steps(spec, 0, steps)


@pytest.mark.parametrize(
    "steps",
    [
        [*range(9)],
        [*range(10), 9],
        [0, 0, *range(2, 10)],
        [1, 0, *range(2, 10)],
    ],
    ids=["one is missing", "one is there twice", "one stands for another", "out of order"],
)
def test_a_run_that_kept_something_else_has_no_figure(steps):
    with pytest.raises(Unequal, match="flow 7"):
        expect_steps(Spec(1), 7, steps)


def test_a_full_list_has_lost_its_oldest_entries_and_nothing_else():
    with pytest.raises(Unequal):
        expect_steps(FULL, 0, [*range(-NEWEST, 0)])


def test_each_phase_has_one_cost_and_the_last_one_also_what_surrounds_the_flow():
    stopwatch = Stopwatch(body_ms=0.01)
    for _ in range(3):
        stopwatch.begin()
        for _ in PHASES:
            stopwatch.body()
        stopwatch.end()
    assert len(stopwatch.costs) == 3 * len(PHASES)
    assert min(stopwatch.costs) > 0


def test_a_run_that_was_interrupted_goes_on_where_it_was(tmp_path):
    Results(tmp_path, "one state").get("cost", lambda: {"mean": 1})
    asked = []
    assert Results(tmp_path, "one state").get("cost", lambda: asked.append("again")) == {"mean": 1}
    assert not asked


def test_another_state_of_the_code_is_measured_anew(tmp_path):
    Results(tmp_path, "one state").get("cost", lambda: 1)
    assert Results(tmp_path, "another").get("cost", lambda: 2) == 2


def test_what_fails_is_not_kept(tmp_path):
    results = Results(tmp_path, "state")
    with pytest.raises(ZeroDivisionError):
        results.get("cost", lambda: 1 / 0)
    assert results.get("cost", lambda: 3) == 3


def test_a_page_without_the_marks_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Nothing to write between.")
    with pytest.raises(InputInvalid, match="measured: begin"):
        document.write(page, "figures")
    assert page.read_text() == "Nothing to write between."
