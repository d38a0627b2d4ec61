"""A part of the long lists of one flow: what it is asked for by words, and how much of that at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from masterflow.domain.fleet.facts import NAME_CHARS
from masterflow.domain.fleet.matching import shown
from masterflow.status.entry_texts import entry_text, who_acted
from masterflow.status.flow.details import FlowDetails
from masterflow.status.summary.causes import causes_of
from masterflow.status.views import Activity, Errors, Timeline

_Entry = TypeVar("_Entry", bound=Mapping[str, Any])
_One = TypeVar("_One")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which entries of a list are meant; what is empty does not matter."""

    #: In any text or number of the entry, in any case.
    text: str = ""
    #: As written or as shown.
    phase: str = ""
    #: Who acted.
    agent: str = ""
    skip: int = 0
    #: At most so many after those that are skipped; None is all.
    limit: int | None = None

    @property
    def is_narrower(self) -> bool:
        """Return whether there may be entries that are not meant."""
        return bool(self.text or self.phase or self.agent)

    def cut(self, entries: Sequence[_One]) -> Sequence[_One]:
        """Return so many of the entries as are asked for at once."""
        return entries[self.skip : None if self.limit is None else self.skip + self.limit]

    def has_phase(self, phase: object) -> bool:
        """Return whether what is of a phase is meant."""
        # A longer name is told by its beginning.
        return not self.phase or shown(entry_text(phase))[:NAME_CHARS] == shown(self.phase)[:NAME_CHARS]

    def matching(self, entries: Iterable[_Entry]) -> list[_Entry]:
        """Return the entries that are meant."""
        wanted = self.text.casefold()
        return [
            entry
            for entry in entries
            if self.has_phase(entry.get("phase"))
            and (not self.agent or who_acted(entry) == self.agent)
            and (not wanted or any(wanted in text.casefold() for text in _texts(entry)))
        ]

    def of_errors(self, view: Errors) -> Errors:
        """Return the errors that are meant, and the causes of all that match."""
        found = self.matching(view.errors)
        causes = causes_of(found) if self.is_narrower else view.causes
        return view.model_copy(
            update={"errors": list(self.cut(found)), "matching": len(found), "causes": causes}
        )

    def of_activity(self, view: Activity) -> Activity:
        """Return what agents did that is meant."""
        found = self.matching(view.collaborations)
        return view.model_copy(update={"collaborations": list(self.cut(found)), "matching": len(found)})

    def of_timeline(self, view: Timeline) -> Timeline:
        """Return the transitions that are meant, and the bars of the phase."""
        found = self.matching(view.transitions)
        bars = [bar for bar in view.bars if self.has_phase(bar.phase)]
        return view.model_copy(
            update={"transitions": list(self.cut(found)), "matching": len(found), "bars": bars}
        )

    def of_details(self, details: FlowDetails) -> FlowDetails:
        """Return a flow with these parts of its lists; of its phases that one alone which is asked for."""
        status, usual = details.status, details.usual
        phases = [one for one in status.phase_details if self.has_phase(one.phase)]
        compared = [one for one in usual.phases if self.has_phase(one.phase)]
        return FlowDetails(
            status=status.model_copy(update={"phase_details": phases}),
            timeline=self.of_timeline(details.timeline),
            errors=self.of_errors(details.errors),
            activity=self.of_activity(details.activity),
            usual=usual.model_copy(update={"phases": compared}),
        )


WHOLE = Part()


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif value is not None:
        yield value if isinstance(value, str) else str(value)
