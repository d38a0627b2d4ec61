"""How far a flow is, as its phases and its caller say."""

import math
from collections.abc import Collection, Sequence

from masterflow.domain import InputInvalid
from masterflow.domain.flow_types.catalog import phases_of, specification
from masterflow.domain.flow_types.progress import percent_done, progress_at_start
from masterflow.domain.interruptions import pass_interruption
from masterflow.domain.phases import name_in, types_with
from masterflow.tracker.report import refuse


class PhaseProgress:
    """The progress of one flow in percent; None while nothing is known, rather than a wrong number.

    What the caller declares wins over what the names of the phases suggest: a name that only one type of
    flow has says which type it is.
    """

    def __init__(self, phases: Sequence[str] = (), flow_type: str | None = None) -> None:
        self._phases = tuple(dict.fromkeys(name_in(None, name) for name in phases))
        self._flow_type = flow_type
        self._is_declared = bool(self._phases or flow_type)
        self._states: dict[str, str] = {}
        self._percent: float | None = None
        self._is_set = False

    def start(self, phase: str) -> None:
        """Note that a phase starts."""
        types = types_with(phase)
        if self._flow_type is None and len(types) == 1:
            self._flow_type = types[0]
        self.end(phase, "processing")
        if self._goes_by_starts and not self._is_set:
            at_start = progress_at_start(self._flow_type, phase)
            self._percent = self._percent if at_start is None else at_start

    def end(self, phase: str, status: str) -> None:
        """Note that a phase has ended, in this status."""
        name = name_in(None, phase)
        if name in self._phases or (not self._phases and types_with(phase)):
            self._states[name] = status
            self._is_set = self._is_set and not self._is_declared

    def set(self, percent: float) -> None:
        """Let the progress be this, until a declared phase starts or ends; 0 to 100.

        Raises:
            InputInvalid: it is no number.
        """
        if isinstance(percent, bool) or not isinstance(percent, int | float) or math.isnan(percent):
            raise InputInvalid(f"{percent!r:.80} is no progress; pass a number from 0 to 100.")
        self._percent, self._is_set = min(100, max(0, percent)), True

    def percent(self, open_phases: Collection[str]) -> float | None:
        """Return the progress; of a phase that is open (again), nothing counts as done.

        Where it does not go by ends, nobody need say what is open.
        """
        if self.goes_by_ends:
            known = self._percent_done(open_phases)
            self._percent = self._percent if known is None else known
        return self._percent

    @property
    def goes_by_ends(self) -> bool:
        """Return whether it follows from which phases have ended, and not from the starts or the caller."""
        return not self._is_set and not self._goes_by_starts

    @property
    def _goes_by_starts(self) -> bool:
        if self._phases:
            return False
        spec = specification(self._flow_type)
        return bool(spec and spec.starts_at)

    def _percent_done(self, open_phases: Collection[str]) -> float | None:
        if self._phases:
            if not self._states:
                return None
            still_open = {name_in(None, name) for name in open_phases}
            return percent_done(self._phases, self._states, still_open)
        states = {name_in(self._flow_type, name): status for name, status in self._states.items()}
        still_open = {name_in(self._flow_type, name) for name in open_phases}
        percents = [percent_done(phases, states, still_open) for phases in phases_of(self._flow_type, states)]
        return min(percents, default=None)


def declared_progress(phases: Sequence[str], flow_type: str | None) -> PhaseProgress:
    """Return the progress of such a flow; what makes no sense is refused, and costs no more than itself."""
    if isinstance(phases, str):
        refuse(
            InputInvalid(f"{phases!r:.80} is one text; pass the names of the phases, in order, as a list.")
        )
        phases = ()
    try:
        return PhaseProgress(phases, flow_type)
    except Exception as problem:  # noqa: BLE001  nor because of what it declares
        pass_interruption(problem)
        refuse(InputInvalid(f"{phases!r:.80} are no phases; pass their names in order: {problem!r:.80}"))
        return PhaseProgress()
