"""A tracker whose reports are caught, and the state of this process that tests may not leave behind."""

from collections.abc import Iterator

import pytest

from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.testing import FlowReports, flow_reports
from masterflow.tracker.tracker import FlowProgressTracker
from tests.support.events.reported import CONTEXT, FLOW_ID


@pytest.fixture
def told() -> Iterator[FlowReports]:
    with flow_reports() as reports:
        yield reports


@pytest.fixture
def tracker(told: FlowReports) -> FlowProgressTracker:
    return FlowProgressTracker(FLOW_ID, CONTEXT)


@pytest.fixture
def quiet_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_delivery, "losses", Losses())


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_delivery, "_settings", OutboxSettings(is_strict=True))
