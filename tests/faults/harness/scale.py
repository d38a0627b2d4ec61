"""How much a run does."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How much a run does: a little in every run of the tests, a lot with --soak."""

    seed: int
    is_soak: bool

    @property
    def events(self) -> int:
        return 20_000 if self.is_soak else 3_000

    @property
    def rate(self) -> int:
        """Events a second, of all orchestrators together: what two cores manage beside all that is killed."""
        return 300

    def times(self, short: int, long: int) -> int:
        return long if self.is_soak else short

    def seconds(self, short: float, long: float) -> float:
        return long if self.is_soak else short
