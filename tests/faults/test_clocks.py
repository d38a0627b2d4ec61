from collections.abc import Callable
from contextlib import ExitStack

from scripts.celery_commands import beat
from scripts.processes import Leashed
from tests.eventually import eventually
from tests.faults.checker import AS_IT_SHOULD_BE, read_notes
from tests.faults.run import Run


def start_beat(run: Run) -> Leashed:
    place = run.place
    return Leashed(beat(), env=place.environment, folder=place.folder, log=place.folder / "beat.log")


def test_two_beats_and_a_clock_that_goes_back_by_an_hour_change_nothing(
    start_run: Callable[..., Run],
) -> None:
    run = start_run(ENRICHMENT_BACKFILL_INTERVAL_S="1")
    with ExitStack() as stack:
        for _ in range(2):
            with run.fault("one more beat"):
                stack.enter_context(start_beat(run))
        with run.fault("clock back by an hour"):
            notes = run.start_orchestrator("--clock-back-after", "200")
            eventually(lambda: len(read_notes([notes]).accepted) > 400, timeout_s=30)
        assert run.finish() == AS_IT_SHOULD_BE
    times = [event.occurred_at for event in read_notes([notes]).accepted]
    assert times == sorted(set(times))
    assert run.place.letters() == []
