"""What a worker tells of the messages it takes: enough to see that it lives and takes none."""

import json
from dataclasses import asdict, dataclass
from typing import Any

#: How the names of such notes begin.
CONSUMPTION_NOTE = "consumption:"


@dataclass(frozen=True, slots=True)
class Consumption:
    """One look of a worker at itself, every few seconds; times are seconds since 1970 by its clock."""

    at: float
    #: When it last took a message, or ended one that it held.
    moved_at: float
    #: Messages that it holds.
    held: int
    #: What it was started to take messages from, whatever it takes them from now.
    queues: tuple[str, ...]

    @property
    def idle_s(self) -> float:
        """Return for how long it had neither taken nor ended a message."""
        return max(0.0, self.at - self.moved_at)

    def text(self) -> str:
        """Return it as a note."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, note: str | bytes) -> "Consumption | None":
        """Return what a note says, or None if somebody else wrote it."""
        try:
            found: Any = json.loads(note)
            queues = tuple(str(name)[:200] for name in found["queues"][:100])
            return cls(float(found["at"]), float(found["moved_at"]), int(found["held"]), queues)
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return None
