"""What came of a world, as it is told to whoever looks into it."""

import hashlib
from dataclasses import dataclass, field

from tests.simulation.world.plan import Plan


@dataclass
class Outcome:
    """What came of a world."""

    plan: Plan
    failure: Exception | None = None
    lasted_s: float = 0.0
    reported: int = 0
    lost: int = 0
    trace: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Return what two runs of one world have in common."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def __str__(self) -> str:
        steps = "\n".join(map(str, self.plan.steps))
        return f"World {self.plan.number}: {self.failure}\n{self.plan}\n{steps}"
