"""Where the pages and the events that they follow stand in the application that includes them."""

from typing import Final
from uuid import UUID

from fastapi import Request
from starlette.routing import NoMatchFound

from masterflow.status.api.flows import EVENTS, FLOW_EVENTS

#: A name that no route of the application around has: it is how the pages find themselves.
FLOWS: Final = "masterflow-page-flows"


def page_root(request: Request) -> str:
    """Return what stands before the paths of the pages: a proxy's prefix, and that of the router."""
    return address_of(request, FLOWS).removesuffix("/flows")


def events_address(request: Request, flow_id: UUID | None = None) -> str | None:
    """Return where the changes of one flow or of all come from; None without the router of the API."""
    try:
        return address_of(request, FLOW_EVENTS, flow_id=flow_id) if flow_id else address_of(request, EVENTS)
    except NoMatchFound:
        return None


def address_of(request: Request, name: str, **parameters: object) -> str:
    """Return the path of a route as a browser asks for it; NoMatchFound where the application has none."""
    return f"{request.scope.get('root_path', '')}{request.app.url_path_for(name, **parameters)}"
