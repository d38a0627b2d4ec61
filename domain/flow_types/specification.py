"""What is to be said of a type of flow: its phases, their other names, and what its child rows prove."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from masterflow.domain.errors import InputInvalid

Phases = tuple[str, ...]

_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_GAPS: Final = re.compile(r"[\s-]+")
_MOST_NAME_CHARS: Final = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class ChildTable:
    """Where a type keeps its child rows, beside the masters, and how its columns are called.

    A column that the type never had is "". One that a database lacks is read as NULL: most were added later.
    """

    name: str
    #: Says that a phase is complete, by phase: a boolean, a time, or a word such as `completed`. What several
    #: phases share is set by each of them, and proves the first.
    completed: Mapping[str, str] = field(default_factory=dict)
    #: The phases that make a hundred percent, by version of the application; the type's, if none are given.
    courses: Mapping[str, Phases] = field(default_factory=dict)
    flow_id: str = "flow_id"
    master_flow_id: str = "master_flow_id"
    client_account_id: str = "client_account_id"
    engagement_id: str = "engagement_id"
    status: str = "status"
    progress: str = "progress_percentage"
    current_phase: str = "current_phase"
    phases_completed: str = ""
    #: A JSON object with a section for each phase that began.
    document: str = ""
    #: The key that a section of the document gets when its phase is over; "" if nothing there says so.
    section_end: str = ""
    #: A JSON list of what was found, which is counted.
    assets: str = ""
    error_message: str = ""
    error_phase: str = ""
    error_details: str = ""
    updated_at: str = "updated_at"
    completed_at: str = "completed_at"

    @property
    def columns(self) -> Phases:
        """Return the columns that say a phase is complete, in the order of the specification."""
        return tuple(dict.fromkeys(self.completed.values()))

    @cached_property
    def proves(self) -> Mapping[str, str]:
        """Return which phase each of these columns proves complete."""
        proven: dict[str, str] = {}
        for phase, column in self.completed.items():
            proven.setdefault(column, phase)
        return proven


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowSpec:
    """One type of flow; everything else that is known of such flows follows from this.

    Raises:
        InputInvalid: a name in it fits nothing else in it.
    """

    flow_type: str
    #: The sets of phases that such flows go through, in order: all that are in use.
    courses: tuple[Phases, ...]
    #: Other names of its phases.
    aliases: Mapping[str, str] = field(default_factory=dict)
    #: The percentage at which each phase starts, where they do not all count the same.
    starts_at: Mapping[str, int] = field(default_factory=dict)
    #: Phases that no flow leaves out: who is in a later one has them behind.
    required: frozenset[str] = frozenset()
    child: ChildTable | None = None

    def __post_init__(self) -> None:
        known = {*self.order}
        named = [*self.aliases.values(), *self.starts_at, *self.required, *self.table.completed]
        if strangers := sorted({name for name in named if name not in known}):
            raise InputInvalid(
                f"{self.flow_type} has no phase {', '.join(strangers)}; add it to its courses."
            )
        wrong = [name for name in self._identifiers() if name and not _IDENTIFIER.fullmatch(name)]
        if wrong:
            raise InputInvalid(f"{wrong[0]!r:.80} is no name of a table or a column in lower case.")

    def _identifiers(self) -> Iterable[str]:
        if self.child:
            yield from (value for value in vars(self.child).values() if isinstance(value, str))
            yield from self.child.columns

    @property
    def table(self) -> ChildTable:
        """Return where its child rows stand: a table without a name or a column, if it keeps none."""
        return self.child or ChildTable(name="")

    @cached_property
    def order(self) -> Phases:
        """Return every phase of the type, each once, in the order in which flows come to them."""
        every = [phases for course in self._every_course for phases in course]
        places = {name: max(_places(self._every_course, name)) for name in every}
        return tuple(sorted(places, key=places.__getitem__))

    @property
    def _every_course(self) -> tuple[Phases, ...]:
        return (*self.courses, *self.table.courses.values())

    @property
    def child_courses(self) -> tuple[Phases, ...]:
        """Return the sets of phases that make a hundred percent of a child row."""
        return tuple(self.table.courses.values()) or self.courses

    def phase(self, value: object) -> str | None:
        """Return the phase that a value names, or None: `Data Cleansing` is `data_cleansing`."""
        if not isinstance(value, str) or len(value) > _MOST_NAME_CHARS:
            return None
        name = self.name(value)
        return name if name in self._places else None

    def name(self, value: str) -> str:
        """Return the name of a phase of this type that a text stands for, or the text in that form."""
        name = _GAPS.sub("_", value.strip().lower())
        return self.aliases.get(name, name)

    def place(self, phase: str) -> int:
        """Return a phase's place in the order; that of an unknown one is behind all."""
        return self._places.get(phase, len(self._places))

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {name: place for place, name in enumerate(self.order)}

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Return every name of every phase with the phase, in order."""
        every = {name: name for name in self.order} | dict(self.aliases)
        return dict(sorted(every.items(), key=lambda item: self.place(item[1])))


def _places(courses: Iterable[Sequence[str]], name: str) -> list[int]:
    return [course.index(name) for course in courses if name in course]
