"""Orchestrators that report without a pause, on a spool that all of them share."""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.faults.harness.checker import Notes, read_notes
from tests.faults.harness.load import ACCEPTED
from tests.faults.harness.phrase_count import PhraseCount
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.guarded import ORCHESTRATOR

_ROOT: Final = Path(__file__).parents[3]
_START_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """One of them, and how many of its hooks have returned."""

    process: SupervisedProcess
    accepted: PhraseCount


class Orchestrators:
    """The orchestrators of one run; `settings` are variables that its workers do not have."""

    def __init__(self, place: Workplace, chance: Random, settings: Mapping[str, str], *, rate: float) -> None:
        self._place = place
        self._chance = chance
        self._settings = settings
        self._rate = rate
        self._all: list[Orchestrator] = []
        #: Those that were not killed, the oldest first.
        self.living: list[Orchestrator] = []

    @property
    def accepted(self) -> int:
        """How many hooks have returned so far."""
        return sum(each.accepted() for each in self._all)

    def notes(self) -> Notes:
        """What they noted so far."""
        return read_notes(each.accepted.path for each in self._all)

    def start(self, *options: str) -> Path:
        """Start one more, and return where it notes what it reports."""
        notes = self._place.folder / f"notes-{len(self._all)}"
        seed = self._chance.randrange(2**32)
        command = [
            "-m",
            "tests.faults.harness.load",
            str(notes),
            "--seed",
            str(seed),
            "--rate",
            str(self._rate),
        ]
        process = SupervisedProcess(
            [sys.executable, "-W", "error", *command, *options],
            env={**self._place.environment_of(ORCHESTRATOR), **self._settings},
            folder=_ROOT,
            log=self._place.folder / "orchestrators.log",
        )
        self._all.append(Orchestrator(process, PhraseCount(notes, ACCEPTED)))
        self.living.append(self._all[-1])
        return notes

    def kill_one(self) -> None:
        """Kill the oldest one; another one takes its place, and what it left."""
        self.living.pop(0).process.kill()
        self.start()

    def stop_reporting(self) -> None:
        """Let them only deliver from now on; one that has just started has to get so far first."""
        for each in self.living:
            eventually(each.accepted, timeout_s=_START_TIMEOUT_S)
            each.process.signal(signal.SIGTERM)

    def stop(self) -> None:
        for each in self.living:
            each.process.kill()
