"""Two workers under a supervisor's eye: what a test has killed is started again."""

import signal
from collections.abc import Callable
from random import Random

from masterflow.scripts.celery_commands import worker as worker_command
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.supervise.supervisor import children, send
from tests.faults.harness.phrase_count import PhraseCount
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

#: The longest that a worker takes to start, on a machine that is busy with other workers.
START_TIMEOUT_S = 30.0
_GRACE_S = 30.0


class Worker:
    """One worker with its own log, which may be started again and again."""

    def __init__(self, place: Workplace, name: str) -> None:
        self._place = place
        self._name = name
        self._log = place.folder / f"{name}.log"
        #: How many messages it has taken.
        self.received = PhraseCount(self._log, b"] received")
        self.start()

    def start(self) -> None:
        options = ["--hostname", f"{self._name}@test", "--concurrency", "2"]
        self.process = SupervisedProcess(
            worker_command(*options),
            env=self._place.environment_of("worker"),
            folder=self._place.folder,
            log=self._log,
            grace_s=_GRACE_S,
        )

    def wait_until_it_consumes(self, messages: int = 1, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait for its next messages, of which there always are some under load."""
        enough = self.received() + messages
        eventually(lambda: self.received() >= enough or not self.process.is_running, timeout_s=timeout_s)
        assert self.process.is_running, self._log.read_text()[-2_000:]

    def stop(self, stop_signal: signal.Signals) -> int:
        """Ask it to end, wait, and return its exit code."""
        self.process.signal(stop_signal)
        return self.process.wait(2 * _GRACE_S)

    def kill_a_child(self, chance: Random) -> None:
        if pids := children(self.process.pid):
            send([chance.choice(pids)], signal.SIGKILL)

    def kill_the_parent(self) -> None:
        self.process.signal(signal.SIGKILL)
        self.process.wait(_GRACE_S)


class Crew:
    """The workers of one run."""

    def __init__(self, place: Workplace) -> None:
        self.workers = [Worker(place, name) for name in ("one", "two")]

    def all_consume_again(self) -> Callable[[], bool]:
        """Return what tells whether every worker has taken a message since this call."""
        taken = {worker: worker.received() for worker in self.workers}
        return lambda: all(worker.received() > taken[worker] for worker in self.workers)

    @property
    def pids(self) -> list[int]:
        """The first process of each worker that still runs."""
        return [worker.process.pid for worker in self.workers if worker.process.is_running]

    def stop(self) -> None:
        for worker in self.workers:
            worker.process.signal_all(signal.SIGKILL)
        for worker in self.workers:
            worker.process.stop()
