"""The result of one check, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

#: All is well; worth knowing; open to others; not as it should be; a server does not answer.
Level = Literal["well", "note", "warning", "problem", "away"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at; `found` and `advice` are the halves of a sentence, without its stop."""

    name: str
    level: Level = "well"
    found: str = ""
    #: What to do; empty if nothing has to be done.
    advice: str = ""

    @property
    def sentence(self) -> str:
        """Return what was found and what to do about it."""
        said = "; ".join(part.rstrip(".;") for part in (self.found, self.advice) if part)
        return f"{said}." if said else ""

    @property
    def problem(self) -> str | None:
        """Return what is wrong and what to do, or None if nothing is."""
        return self.sentence if self.level in {"problem", "away"} else None
