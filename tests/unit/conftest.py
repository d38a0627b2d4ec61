"""A tracker whose reports are caught, and the state of this process that tests may not leave behind."""

import pytest

from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.progress import FlowProgressTracker
from tests.support.events.reported import CONTEXT, FLOW_ID, Told


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr("masterflow.tracker.flow_record.report", told.report)
    return told


@pytest.fixture
def tracker(told: Told) -> FlowProgressTracker:
    return FlowProgressTracker(FLOW_ID, CONTEXT)


@pytest.fixture
def quiet_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_delivery, "losses", Losses())


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_delivery, "_settings", OutboxSettings(is_strict=True))
