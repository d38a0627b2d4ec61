"""The child row of a flow as the backfill reads it, and the odd shapes its document comes in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple
from uuid import UUID

from masterflow.domain.flow_types.specification import ChildTable, FlowSpec
from masterflow.domain.json_shapes import as_map, count_of

_MOST_ENCODINGS: Final = 3

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

    `document` is whole or reduced to what is read here; a list of it that is only counted may be given as
    its length.
    """

    spec: FlowSpec
    flow_id: UUID
    #: Differs whenever the row was written.
    version: str
    status: str = ""
    #: What stands in each column that says a phase is complete, if the table has it.
    completed: Mapping[str, object] = field(default_factory=dict)
    progress: object = None
    current_phase: object = None
    phases_completed: object = None
    document: object = None
    error: JsonMap = field(default_factory=dict)
    #: None where no time stands there that Python has.
    updated_at: datetime | None
    completed_at: datetime | None = None

    @property
    def table(self) -> ChildTable:
        """Return the table that such rows stand in."""
        return self.spec.table

    @cached_property
    def root(self) -> JsonMap:
        """Return the document, or an empty one where something else stands."""
        return as_map(decoded(self.document))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Return every section that is present, in the order of phases, not in the document's."""
        named = [(phase, name) for name in self.root if (phase := self.spec.phase(name))]
        named.sort(key=lambda found: (self.spec.place(found[0]), found[1]))
        return tuple(
            Section(phase, name, as_map(value), as_map(as_map(value).get("legacy_data")))
            for phase, name in named
            if as_map(value := decoded(self.root[name])) or count_of(value)
        )


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
