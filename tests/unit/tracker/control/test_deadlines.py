from datetime import UTC, datetime, timedelta

import pytest

from masterflow import create_progress_tracker, phase
from masterflow.domain.clock import parse_time
from masterflow.domain.events import MetadataUpdated
from tests.support.events.reported import CONTEXT, FLOW_ID


def is_in(text: object, seconds: float) -> bool:
    at = parse_time(text)
    assert at is not None
    return abs(at - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(seconds=30)


def test_a_flow_tells_its_deadline(told):
    create_progress_tracker(FLOW_ID, CONTEXT, deadline_s=600)
    [event] = told.of(MetadataUpdated)
    assert is_in(event.updates["deadline_at"], 600)


def test_a_phase_tells_its_deadline_as_it_starts(tracker, told):
    @phase("data_cleansing", deadline_s=60)
    def cleanse() -> None:
        pass

    with tracker:
        with phase("data_import", deadline_s=900) as attempt:
            assert attempt.deadline_at is not None
        cleanse()
    assert is_in(told.facts("data_import:processing")["deadline_at"], 900)
    assert is_in(told.facts("data_cleansing:processing")["deadline_at"], 60)


def test_without_a_deadline_none_is_told(tracker, told):
    with tracker, phase("data_import") as attempt:
        assert attempt.deadline_at is None
    assert "deadline_at" not in told.facts("data_import:processing")


@pytest.mark.parametrize("nonsense", [0, -1, float("nan"), float("inf"), "soon", True])
def test_nonsense_is_no_deadline_and_fails_no_phase(tracker, told, nonsense, quiet_losses):
    with tracker, phase("data_import", deadline_s=nonsense):
        pass
    assert "deadline_at" not in told.facts("data_import:processing")
