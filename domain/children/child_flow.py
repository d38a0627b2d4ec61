"""The child row of a flow as the backfill reads it, and the odd shapes its document comes in."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple
from uuid import UUID

from masterflow.domain.children.specs import DISCOVERY, DISCOVERY_V3
from masterflow.domain.json_shapes import as_map, count_of
from masterflow.domain.phases import PHASE_ALIASES, PHASES, canonical_phase, phase_order

#: The six phases that every child row has a column for, in order, and those columns.
MAIN_PHASES: Final = DISCOVERY.phases
MAIN_COLUMNS: Final = DISCOVERY.columns

#: Of a later version of the table, which other tables lack.
DATA_VALIDATION_COLUMN: Final = DISCOVERY_V3.column_of["data_validation"]

#: Every column that says a phase is complete, in the order in which read_backfill.sql returns them.
ALL_COLUMNS: Final = (MAIN_COLUMNS[0], DATA_VALIDATION_COLUMN, *MAIN_COLUMNS[1:])

#: Which column says that a canonical phase is complete; the others have none.
COLUMN_OF_PHASE: Final = {
    **DISCOVERY.column_of,
    **DISCOVERY_V3.column_of,
    "field_mapping_approval": "field_mapping_completed",
}

#: Every name under which a section of a document may stand, with its phase, in canonical order.
SECTION_PHASES: Final = dict(
    sorted(
        ({phase: phase for phase in PHASES} | PHASE_ALIASES).items(), key=lambda item: phase_order(item[1])
    )
)

_SECTION_PLACES: Final = {name: place for place, name in enumerate(SECTION_PHASES)}

_MOST_NAME_CHARS: Final = 200
_MOST_ENCODINGS: Final = 3
_GAPS: Final = re.compile(r"[\s-]+")

JsonMap = Mapping[str, Any]


class Section(NamedTuple):
    """What a document holds about one phase; older writers put the whole flow's state into `legacy`."""

    phase: str
    name: str
    content: JsonMap
    legacy: JsonMap


@dataclass(frozen=True, kw_only=True)
class ChildFlow:
    """A child row, as it was found; nothing in it is trusted to have the type it should have.

    `document` is `crewai_state_data`, whole or reduced to what is read here; a list of it that is only
    counted may be given as its length.
    """

    flow_id: UUID
    #: Differs whenever the row was written.
    version: str
    status: str = ""
    #: Column name to value, for every column whose name ends in `_completed`.
    completed: Mapping[str, bool | None] = field(default_factory=dict)
    progress: object = None
    current_phase: object = None
    phases_completed: object = None
    document: object = None
    error: JsonMap = field(default_factory=dict)
    updated_at: datetime
    completed_at: datetime | None = None

    @property
    def root(self) -> JsonMap:
        """Return the document, or an empty one where something else stands."""
        return as_map(decoded(self.document))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Return every section that is present, in canonical order, not in the document's."""
        root = self.root
        names = sorted(root.keys() & SECTION_PHASES.keys(), key=_SECTION_PLACES.__getitem__)
        return tuple(
            Section(SECTION_PHASES[name], name, as_map(value), as_map(as_map(value).get("legacy_data")))
            for name in names
            if as_map(value := root[name]) or count_of(value)
        )


def phase_of(value: object) -> str | None:
    """Return the canonical phase that a value names, or None: `Data Cleansing` is `data_cleansing`."""
    if not isinstance(value, str) or len(value) > _MOST_NAME_CHARS:
        return None
    return canonical_phase(value) or canonical_phase(_GAPS.sub("_", value.strip()))


def decoded(value: object) -> object:
    """Return what a JSON text inside of JSON stands for, however often it was encoded; else the value."""
    for _ in range(_MOST_ENCODINGS):
        if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "[", '"'}:
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value
