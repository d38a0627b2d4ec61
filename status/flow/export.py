"""A flow's lists as CSV that a spreadsheet opens and does not obey."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, get_args

from masterflow.status.flow.details import FlowDetails
from masterflow.status.summary.causes import cause_of_entry

TableName = Literal["phases", "transitions", "errors", "causes", "activity", "agents"]
TABLE_NAMES: Final[tuple[TableName, ...]] = get_args(TableName)

#: What a spreadsheet takes for the beginning of a formula, also in full width; some skip blanks before it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_of(details: FlowDetails, table: TableName) -> str:
    """Return one list of a flow as CSV with a line of names; texts that could be formulas begin with `'`."""
    names, rows = _TABLES[table](details)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


_Table = tuple[list[str], Iterable[Iterable[Any]]]


def _phases(details: FlowDetails) -> _Table:
    usual = {one.phase: one for one in details.usual.phases}
    names = ["phase", "status", "attempts", "took_ms", "p50_ms", "p95_ms", "times_p95", "completed_at"]
    return names, (
        [
            one.phase,
            one.status,
            one.attempts,
            usual[one.phase].took_ms,
            usual[one.phase].p50_ms,
            usual[one.phase].p95_ms,
            usual[one.phase].times_p95,
            one.completed_at,
        ]
        for one in details.status.phase_details
    )


def _transitions(details: FlowDetails) -> _Table:
    names = ["timestamp", "phase", "status", "metadata"]
    return names, ([entry.get(name) for name in names] for entry in details.timeline.transitions)


def _errors(details: FlowDetails) -> _Table:
    names = ["timestamp", "phase", "error", "details"]
    return [*names, "cause"], (
        [*(entry.get(name) for name in names), cause_of_entry(entry)] for entry in details.errors.errors
    )


def _causes(details: FlowDetails) -> _Table:
    names = ["cause", "errors", "phases", "first_seen_at", "last_seen_at"]
    return names, (one.model_dump(mode="json").values() for one in details.errors.causes)


def _activity(details: FlowDetails) -> _Table:
    entries = details.activity.collaborations
    names = list(dict.fromkeys(["timestamp", "agent", *(name for entry in entries for name in entry)]))
    return names, ([entry.get(name) for name in names] for entry in entries)


def _agents(details: FlowDetails) -> _Table:
    names = ["agent", "calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls"]
    agents = details.status.usage.agents if details.status.usage else []
    return names, ([getattr(one, name) for name in names] for one in agents)


_TABLES: Final[Mapping[TableName, Callable[[FlowDetails], _Table]]] = {
    "phases": _phases,
    "transitions": _transitions,
    "errors": _errors,
    "causes": _causes,
    "activity": _activity,
    "agents": _agents,
}


def _cell(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
