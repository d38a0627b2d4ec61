"""What the runs have found, as people read it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.faults.checker import Verdict

_ROW: Final = "{:<62} {:>7} {:>4} {:>5} {:>9} {:>6}"


@dataclass(slots=True)
class Findings:
    """What one run has found."""

    test: str
    seed: int
    recoveries_s: dict[str, list[float]] = field(default_factory=dict)
    events: int = 0
    verdict: Verdict | None = None
    peak_memory_mb: float = 0.0

    def lines(self) -> Iterator[str]:
        """Return a line for each kind of fault; what was lost and counted twice is the whole run's."""
        lost, twice = (self.verdict.lost, self.verdict.twice) if self.verdict else ("-", "-")
        yield f"{self.test}, seed {self.seed}"
        for fault, recoveries_s in self.recoveries_s.items():
            name, longest_s = f"  {fault} x {len(recoveries_s)}", max(recoveries_s)
            yield _ROW.format(
                name, self.events, lost, twice, f"{longest_s:.1f} s", f"{self.peak_memory_mb:.0f} MB"
            )


def table(findings: Iterable[Findings]) -> Iterator[str]:
    """Return the lines of a table of all runs."""
    yield _ROW.format("", "events", "lost", "twice", "recovered", "memory")
    for found in findings:
        yield from found.lines()
