"""The sender's thread sleeps while it has nothing to do."""

import time

import pytest

from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.sender import Sender
from masterflow.tracker.outbox.settings import OutboxSettings


@pytest.fixture
def sender(tmp_path):
    """A sender that waits for the confirmation of what it sent, and whose thread has not begun."""
    outbox = Outbox(OutboxSettings.model_validate({"spool_dir": tmp_path}), Losses(), broker="redis://here")
    outbox.append("vital", b'{"client_account_id":"a"}')
    sender = Sender(outbox, Losses(), confirm_timeout_s=30.0)
    assert sender._window.take(outbox.unread())
    [parcel] = sender._window.due(time.monotonic())
    sender._window.note_sent(parcel, time.monotonic(), b"")
    sender._receive_at = time.monotonic() + 60
    yield sender
    outbox.close()


def test_while_the_broker_fails_it_rests_until_the_next_try(sender):
    sender._broker.note_failure()
    assert 0 < sender._rest_s() <= 0.1


def test_once_it_may_try_again_and_nothing_is_due_it_rests_too(sender):
    sender._broker.note_failure()
    sender._broker.retry_at = time.monotonic() - 1
    assert sender._rest_s() == pytest.approx(1.0)
