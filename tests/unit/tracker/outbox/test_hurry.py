import time
from pathlib import Path

import pytest

from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.sender import Sender
from masterflow.tracker.outbox.settings import OutboxSettings


@pytest.mark.parametrize(
    ("latency_s", "at_least_s", "at_most_s"), [(0.0, 0.01, 0.02), (1.0, 0.04, 0.06), (60.0, 0.2, 0.25)]
)
def test_whoever_waits_for_confirmations_asks_as_often_as_they_may_come(
    tmp_path: Path, latency_s: float, at_least_s: float, at_most_s: float
) -> None:
    losses = Losses()
    outbox = Outbox(OutboxSettings(spool_dir=tmp_path), losses)
    sender = Sender(outbox, losses, confirm_timeout_s=30)
    assert sender._receive_interval_s() >= at_most_s
    sender._window.latency_s = latency_s
    sender.hasten(time.monotonic() + 60)
    assert at_least_s <= sender._receive_interval_s() <= at_most_s
    outbox.close()
