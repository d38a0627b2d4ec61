import threading

import pytest

from masterflow.tracker.outbox import adoption
from masterflow.tracker.outbox.adoption import Lookout


def is_alive(looking: Lookout) -> bool:
    return looking._thread is not None and looking._thread.is_alive()


def test_no_thread_is_left_once_it_was_stopped():
    looking = Lookout(lambda: True)
    looking.start()
    assert is_alive(looking)
    looking.stop(5)
    assert not is_alive(looking)


def test_a_look_that_was_due_while_it_was_stopped_is_done_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adoption, "_LOOK_INTERVAL_S", 0.0)
    looked = threading.Event()

    def look() -> bool:
        looked.set()
        return False

    looking = Lookout(look)
    looking.start()
    assert looked.wait(5)
    looking.stop(5)
    assert not is_alive(looking)
    looked.clear()
    looking.start()
    assert looked.wait(5)
    looking.stop(5)
