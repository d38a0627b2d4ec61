import signal
import time

import pytest

from tests.faults.harness.checker import AS_IT_SHOULD_BE
from tests.faults.harness.crew import START_TIMEOUT_S
from tests.faults.harness.run import Run

_LONGEST_STOP_S = 30


@pytest.mark.long
def test_all_workers_stop_and_start_in_turn_without_a_loss(run: Run) -> None:
    for _ in range(run.scale.times(1, 5)):
        stop_signals = run.shuffled([signal.SIGTERM, signal.SIGQUIT])
        for worker, stop_signal in zip(run.crew.workers, stop_signals, strict=True):
            with run.fault(f"worker stopped by {stop_signal.name}", within_s=START_TIMEOUT_S):
                started = time.monotonic()
                assert worker.stop(stop_signal) == 0
                assert time.monotonic() - started < _LONGEST_STOP_S
                worker.start()
    assert run.finish() == AS_IT_SHOULD_BE
    assert run.place.letters() == []
