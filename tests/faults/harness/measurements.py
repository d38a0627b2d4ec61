"""What the runs have found, as people read it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.faults.harness.checker import Verdict

_ROW: Final = "{:<40} {:>7} {:>5} {:>5} {:>9} {:>7}"


@dataclass(slots=True)
class Faults:
    """How often one fault happened, and the longest time that it was felt afterwards."""

    times: int = 0
    recovery_s: float = 0.0


@dataclass(slots=True)
class Measurements:
    """What one run has found."""

    title: str
    seed: int
    faults: dict[str, Faults] = field(default_factory=dict)
    events: int = 0
    verdict: Verdict | None = None
    peak_memory_mb: float = 0.0

    def note(self, fault: str, recovery_s: float, *, times: int = 1) -> None:
        """Note that a fault is over."""
        faults = self.faults.setdefault(fault, Faults())
        faults.times += times
        faults.recovery_s = max(faults.recovery_s, recovery_s)

    def lines(self) -> Iterator[str]:
        """Return a line for each kind of fault; what was lost and counted twice is the whole run's."""
        lost, twice = (self.verdict.lost, self.verdict.twice) if self.verdict else ("-", "-")
        memory = f"{self.peak_memory_mb:.0f} MB"
        yield f"{self.title}, seed {self.seed}"
        for name, faults in self.faults.items():
            recovered = f"{faults.recovery_s:.1f} s"
            yield _ROW.format(f"  {name} x {faults.times}", self.events, lost, twice, recovered, memory)


def table(measurements: Iterable[Measurements]) -> Iterator[str]:
    """Return the lines of a table of all runs."""
    yield _ROW.format("", "events", "lost", "twice", "recovered", "memory")
    for found in measurements:
        yield from found.lines()
