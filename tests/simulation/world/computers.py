"""A computer of the world: one disk with a spool on it, one clock, and the processes that run there."""

from pathlib import Path
from random import Random

from tests.simulation.world.disk import Disk


class Computer:
    """What processes of one place share, and lose together."""

    def __init__(self, name: str, folder: Path, chance: Random) -> None:
        self.name = name
        self.spool = folder / name / "spool"
        self.disk = Disk(chance, self.spool)
        self.wall_error_s = 0.0
        #: When its power was cut.
        self.cuts_s: list[float] = []

    def cut_power(self, now: float) -> None:
        """Lose what no sync of the disk has followed; whoever calls has ended the processes."""
        self.cuts_s.append(now)
        self.disk.lose_what_is_not_synced()
