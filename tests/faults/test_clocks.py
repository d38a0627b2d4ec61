from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from masterflow.scripts.celery_commands import beat
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.faults.harness.checker import AS_IT_SHOULD_BE, read_notes
from tests.faults.harness.run import Run
from tests.support.eventually import eventually


def start_beat(run: Run, log: Path) -> SupervisedProcess:
    return SupervisedProcess(beat(), env=run.place.environment_of("beat"), folder=run.place.folder, log=log)


def is_sending(log: Path) -> bool:
    return "Sending due task backfill" in log.read_text()


def test_two_beats_and_a_clock_that_goes_back_by_an_hour_change_nothing(
    start_run: Callable[..., Run],
) -> None:
    run = start_run(ENRICHMENT_BACKFILL_INTERVAL_S="1")
    with ExitStack() as stack:
        for number in range(2):
            with run.fault("one more beat"):
                log = run.place.folder / f"beat-{number}.log"
                stack.enter_context(start_beat(run, log))
                eventually(partial(is_sending, log), timeout_s=30)
        with run.fault("clock back by an hour"):
            notes = run.orchestrators.start("--clock-back-after", "200")
            eventually(lambda: len(read_notes([notes]).accepted) > 400, timeout_s=30)
        assert run.finish() == AS_IT_SHOULD_BE
    times = [event.occurred_at for event in read_notes([notes]).accepted]
    assert times == sorted(set(times))
    assert run.place.letters() == []
