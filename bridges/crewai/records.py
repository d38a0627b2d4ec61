"""One event of crewAI as the bridge keeps it: ids, a time, its place, and scalars."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from masterflow.domain import FlowContext


@dataclass(frozen=True, slots=True)
class Record:
    """What happened, as it was captured; `facts` holds scalars, and lists of names."""

    #: crewAI's word, such as `flow_started`, or ours: `step_began`, `step_ended`, `tenant_known`.
    kind: str
    event_id: str
    #: Microseconds since 1970.
    at: int
    #: The event that opened the scope around this one, and, for an end, the one that opened its own.
    parent_id: str | None = None
    started_id: str | None = None
    #: Its place among the events of its kickoff; crewAI counts from 1 at each one.
    sequence: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> FlowContext | None:
        """Return whose flow it is, if this record says so."""
        context = self.facts.get("context")
        return context if isinstance(context, FlowContext) else None


def to_line(record: Record) -> str:
    """Return a record as a line of JSON, without whose flow it is: for streams that are kept for tests."""
    fields = asdict(record)
    fields["facts"] = {key: value for key, value in record.facts.items() if key != "context"}
    return json.dumps({key: value for key, value in fields.items() if value not in (None, {})})


def from_lines(lines: Iterable[str], context: FlowContext) -> Iterator[Record]:
    """Give the records of such lines, all flows as this tenant's."""
    for line in lines:
        fields = json.loads(line)
        record = Record(**fields)
        if record.kind == "flow_started":
            fields["facts"] = {**record.facts, "context": context}
            record = Record(**fields)
        yield record
