"""Whether a flow is one of those that a number counts: when it ended, what it ran, what failed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from masterflow.domain.clock import to_microseconds
from masterflow.domain.fleet.causes import cause_of
from masterflow.domain.fleet.facts import FlowFacts


@dataclass(frozen=True, slots=True)
class Span:
    """A time from one moment until before another; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None

    def holds(self, at_us: int) -> bool:
        """Return whether a time in microseconds since 1970 is within."""
        return (self.since is None or at_us >= to_microseconds(self.since)) and (
            self.until is None or at_us < to_microseconds(self.until)
        )


_ALWAYS: Final = Span()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What is asked of the amounts that a flow counts for; what is None or open does not matter."""

    #: When it ended.
    ended: Span = _ALWAYS
    #: A phase that was timed, as written or as shown, and when it ended last.
    ran: str | None = None
    ran_at: Span = _ALWAYS
    #: A cause of errors, or the text of an error that has it, and when it was seen last.
    cause: str | None = None
    seen_at: Span = _ALWAYS
    #: Only flows with errors, whatever their causes.
    has_failed: bool = False

    @property
    def of_times(self) -> bool:
        """Return whether only a flow with a time of a phase can be meant."""
        return self.ran is not None or bool(self.ran_at)

    @property
    def of_errors(self) -> bool:
        """Return whether only a flow with errors can be meant."""
        return self.cause is not None or bool(self.seen_at) or self.has_failed

    def __bool__(self) -> bool:
        return bool(self.ended) or self.of_times or self.of_errors

    def fits(self, facts: FlowFacts) -> bool:
        """Return whether a flow counts for all that is asked."""
        return (
            (not self.ended or self._has_ended(facts))
            and (not self.of_times or self._has_run(facts))
            and (not self.of_errors or self._has_failed(facts))
        )

    def _has_ended(self, facts: FlowFacts) -> bool:
        return any(one.key[0] == "ended" and self.ended.holds(one.at_us) for one in facts.dated)

    def _has_run(self, facts: FlowFacts) -> bool:
        wanted = None if self.ran is None else shown(self.ran)
        return any(
            one.key[0] == "phase"
            and (wanted is None or shown(str(one.key[2])) == wanted)
            and self.ran_at.holds(one.at_us)
            for one in facts.dated
        )

    def _has_failed(self, facts: FlowFacts) -> bool:
        wanted = None if self.cause is None else {self.cause, cause_of(self.cause)}
        return any(
            (wanted is None or cause in wanted) and self.seen_at.holds(span.last_us)
            for cause, span in facts.causes.items()
        )


NOTHING_COUNTED: Final = Counted()


def shown(phase: str) -> str:
    """Return what tells one phase from another, whether it is written `data_import` or `Data import`."""
    return phase.replace("_", " ").lower()
