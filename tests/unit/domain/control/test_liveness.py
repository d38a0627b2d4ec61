import pytest

from masterflow.domain.liveness import is_lost, liveness_of
from masterflow.domain.statuses import FLOW_STATUSES

EARLIER, LATER = "1700000000000000" + "a" * 32, "1700000000000001" + "0" * 32


def metadata(lost: object = EARLIER, newest: object = EARLIER, value: object = None) -> object:
    return {
        "lost": {"cause": "witnessed"} if value is None else value,
        "_enrichment": {"clocks": {"flow_metadata": {"lost": lost}}, "newest": newest},
    }


@pytest.mark.parametrize("status", FLOW_STATUSES)
def test_only_a_flow_that_a_process_works_on_is_lost(status: str) -> None:
    assert is_lost(status, metadata()) == (status in {"initialized", "active", "processing"})


def test_what_a_flow_reports_from_a_later_time_shows_that_it_lives() -> None:
    assert is_lost("active", metadata(lost=EARLIER, newest=EARLIER))
    assert is_lost("active", metadata(lost=LATER, newest=EARLIER))
    assert is_lost("active", metadata(lost=EARLIER, newest=None))
    assert not is_lost("active", metadata(lost=EARLIER, newest=LATER))


@pytest.mark.parametrize(
    "odd",
    [
        None, [], "lost", {}, {"lost": {}}, {"lost": {}, "_enrichment": []}, metadata(lost=7),
        metadata(value="theirs"), metadata(value=[1]),
        {"lost": {}, "_enrichment": {"clocks": {"flow_metadata": 1}}},
    ],
)  # fmt: skip
def test_a_row_in_which_the_merge_noted_no_loss_is_not_lost(odd: object) -> None:
    assert not is_lost("processing", odd)


def test_a_fresh_sign_beats_the_row_and_the_row_beats_old_signs() -> None:
    assert liveness_of("active", is_lost=True, sign_ages_s=[700, 15.0]) == "alive"
    assert liveness_of("active", is_lost=True, sign_ages_s=[15.1]) == "lost"
    assert liveness_of("active", is_lost=True, sign_ages_s=[]) == "lost"
    assert liveness_of("active", is_lost=False, sign_ages_s=[15.1, 99]) == "silent"
    assert liveness_of("active", is_lost=False, sign_ages_s=[]) is None
    assert liveness_of("paused", is_lost=True, sign_ages_s=[99]) is None
