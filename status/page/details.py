"""What the page of one flow shows, of everything that there is to read of it."""

from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.routing import NoMatchFound

from masterflow.status.api.details import EXPORT, EXPORT_CSV
from masterflow.status.flow.details import FlowDetails
from masterflow.status.flow.export import TABLE_NAMES
from masterflow.status.page.entries import activity_entries, causes_with_entries
from masterflow.status.page.gantt import gantt_of
from masterflow.status.page.roots import address_of


def shown(details: FlowDetails, trace_url: str | None = None) -> dict[str, Any]:
    """Return what the templates take; `trace_url` has `{trace_id}` in it."""
    errors, activity = details.errors, details.activity
    return {
        "flow": details.status,
        "gantt": gantt_of(details.timeline.bars, errors.errors, details.status.phase_details),
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
