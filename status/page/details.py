"""What the page of one flow shows, of everything that there is to read of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request
from starlette.routing import NoMatchFound

from masterflow.status.api.details import EXPORT, EXPORT_CSV
from masterflow.status.flow.details import FlowDetails
from masterflow.status.flow.export import TABLE_NAMES
from masterflow.status.flow.part import Part
from masterflow.status.page.entries import activity_entries, causes_with_entries
from masterflow.status.page.gantt import gantt_of
from masterflow.status.page.roots import address_of

#: So many entries of a list stand on a page.
PAGE_ENTRIES: Final = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """What people ask for of the long lists of a flow, and which page of each; a report has all."""

    text: str = ""
    phase: str = ""
    #: By `errors`, `activity` and `phases`, beginning with 1; None shows all.
    pages: Mapping[str, int] | None = None

    def part(self, name: str) -> Part:
        """Return the part of a list that a page has."""
        if self.pages is None:
            return Part(text=self.text, phase=self.phase)
        skip = (self.pages.get(name, 1) - 1) * PAGE_ENTRIES
        # What agents did is of no phase.
        phase = "" if name == "activity" else self.phase
        return Part(text=self.text, phase=phase, skip=skip, limit=PAGE_ENTRIES)

    def pager(self, name: str, matching: int) -> dict[str, Any] | None:
        """Return where a page stands in its list, with links to those beside it; None where there is one."""
        if self.pages is None or matching <= PAGE_ENTRIES:
            return None
        page, last = self.pages.get(name, 1), math.ceil(matching / PAGE_ENTRIES)
        first = (page - 1) * PAGE_ENTRIES + 1
        return {
            "name": name,
            "said": f"{first} to {min(first + PAGE_ENTRIES - 1, matching)} of {matching}",
            "before": self._link(name, page - 1) if page > 1 else None,
            "after": self._link(name, page + 1) if page < last else None,
        }

    def _link(self, name: str, page: int) -> str:
        words = {"text": self.text, "phase": self.phase, **(self.pages or {}), name: page}
        return f"?{urlencode({word: value for word, value in words.items() if value not in ('', 1)})}#{name}"


#: What a report has.
ALL: Final = Asked()


def shown(details: FlowDetails, trace_url: str | None = None, asked: Asked = ALL) -> dict[str, Any]:
    """Return what the templates take; `trace_url` has `{trace_id}` in it."""
    errors, activity = (
        asked.part("errors").of_errors(details.errors),
        asked.part("activity").of_activity(details.activity),
    )
    gantt = gantt_of(details.timeline.bars, details.errors.errors, details.status.phase_details)
    rows = [row for row in gantt.rows if asked.part("phases").has_phase(row.phase)]
    return {
        "flow": details.status,
        "asked": asked,
        "gantt": replace(gantt, rows=list(asked.part("phases").cut(rows))),
        "pagers": {
            "errors": asked.pager("errors", errors.matching),
            "activity": asked.pager("activity", activity.matching),
            "phases": asked.pager("phases", len(rows)),
        },
        "usual": details.usual,
        "usual_phases": {one.phase: one for one in details.usual.phases},
        "errors": errors,
        "causes": causes_with_entries(errors, trace_url),
        "activity": activity,
        "activities": activity_entries(activity.collaborations, trace_url),
    }


def exports_of(request: Request, flow_id: UUID) -> list[tuple[str, str]]:
    """Return labels and addresses of a flow's files; none without the router of the API."""
    try:
        whole = address_of(request, EXPORT, flow_id=flow_id)
        lists = address_of(request, EXPORT_CSV, flow_id=flow_id)
    except NoMatchFound:
        return []
    tables = ((f"{name.capitalize()} as CSV", f"{lists}?table={name}") for name in TABLE_NAMES)
    return [("All as JSON", whole), *tables]
