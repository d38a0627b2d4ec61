"""The pages: sign in, the list of flows, one flow, and its report as a file."""

from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import parse_qs, urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from typing_extensions import override

from masterflow.domain import EnrichmentError
from masterflow.status.access.addresses import client_address, is_on_tls
from masterflow.status.access.tokens import TokenInvalid, read_token
from masterflow.status.api.access import COOKIE, SignedIn, require_same_origin
from masterflow.status.api.flows import Manager
from masterflow.status.api.problems import problem_of
from masterflow.status.api.safe_route import Refusal, SafeRoute
from masterflow.status.flow.details import read_details
from masterflow.status.page.compare import compare_page
from masterflow.status.page.control import answering_at, control_panel, forms_of, panel_to_keep
from masterflow.status.page.details import Asked, exports_of, shown
from masterflow.status.page.fleet import fleet_page
from masterflow.status.page.flow_list import flows_page
from masterflow.status.page.rendering import ASSETS, asset, problem_page, render, render_report
from masterflow.status.page.roots import FLOWS, events_address, page_root
from masterflow.status.service import lifespan, service_of

_PAGE_ROWS: Final = 25
_PageNumber = Annotated[int, Query(ge=1, le=10_000)]


class PageRoute(SafeRoute):
    """A route that tells people what went wrong on a page."""

    @override
    def tell(self, request: Request, error: Exception) -> Response | None:
        if isinstance(error, TokenInvalid):
            return render(
                request, "signin.html", status_code=401, problem=_why(request, error), signed_in=False
            )
        response = problem_of(error)
        if response is None:
            return None
        detail = str(error) if isinstance(error, EnrichmentError) else "The address is not understood."
        code, will_pass = response.status_code, "Retry-After" in response.headers
        return problem_page(request, code, detail, will_pass=will_pass)

    @override
    def refuse(self, request: Request, refusal: Refusal) -> Response:
        return problem_page(request, refusal.status, refusal.detail)


#: Include it under any prefix; beside the router of the API, the pages follow changes.
router = APIRouter(
    route_class=PageRoute, include_in_schema=False, default_response_class=HTMLResponse, lifespan=lifespan
)


@router.get("/")
async def home(request: Request) -> Response:
    """Lead to the overview."""
    return RedirectResponse(f"{page_root(request)}/fleet", 303)


router.add_api_route("/fleet", fleet_page, methods=["GET"])


router.add_api_route("/flows", flows_page, methods=["GET"], name=FLOWS)


@router.get("/inbox")
async def inbox(
    request: Request,
    manager: Manager,
    viewer: SignedIn,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Show which flows wait for somebody, with forms to answer them."""
    page = await manager.get_inbox(cursor=cursor or None, limit=_PAGE_ROWS)
    waiting = [
        (one, forms_of(one.questions), answering_at(request, viewer, one.flow_id)) for one in page.waiting
    ]
    older_link = f"?{urlencode({'cursor': page.next_cursor})}" if page.next_cursor else None
    return render(
        request, "inbox.html", events=events_address(request), waiting=waiting, older_link=older_link
    )


def asked_of(
    text: Annotated[str, Query(max_length=200)] = "",
    phase: Annotated[str, Query(max_length=200)] = "",
    errors: _PageNumber = 1,
    activity: _PageNumber = 1,
    phases: _PageNumber = 1,
) -> Asked:
    """Return what is asked for of the lists of a flow."""
    pages = {"errors": errors, "activity": activity, "phases": phases}
    return Asked(text.strip(), phase.strip(), pages)


@router.get("/flows/{flow_id}")
async def flow(
    request: Request,
    manager: Manager,
    viewer: SignedIn,
    flow_id: UUID,
    asked: Annotated[Asked, Depends(asked_of)],
) -> Response:
    """Show one flow."""
    service = service_of(request)
    found = await read_details(manager, flow_id, service.past)
    details = shown(found, service.settings.trace_url, asked)
    panel = control_panel(request, viewer, details["flow"])
    details["exports"] = exports_of(request, flow_id)
    return render(request, "flow.html", events=events_address(request, flow_id), panel=panel, **details)


@router.get("/flows/{flow_id}/report")
async def report(request: Request, manager: Manager, flow_id: UUID) -> Response:
    """Give all that the page of a flow shows as one file."""
    details = shown(await read_details(manager, flow_id, service_of(request).past))
    text = render_report(made_at=datetime.now(UTC), panel=panel_to_keep(details["flow"]), **details)
    return HTMLResponse(text, headers={"Content-Disposition": f'attachment; filename="flow-{flow_id}.html"'})


router.add_api_route("/flows/{flow_id}/compare", compare_page, methods=["GET"])


@router.get("/signin")
async def signin_page(request: Request, code: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Ask for a token; who comes with a code that holds is signed in at once.

    Raises:
        TokenInvalid: the code does not hold.
    """
    if not code:
        return render(request, "signin.html", problem="", signed_in=False)
    service = service_of(request)
    service.wrong_codes.take(client_address(request, service.settings))
    token = service.codes.take(code)
    if token is None:
        raise TokenInvalid("This link was used before, or is too old. Sign in with a token.")
    return _signed_in(request, token)


@router.post("/signin", dependencies=[Depends(require_same_origin)])
async def signin(request: Request) -> Response:
    """Sign in with a token.

    Raises:
        TokenInvalid: there is none.
    """
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    token = fields.get("token", [""])[0].strip()
    if not token:
        raise TokenInvalid("Paste a token first.")
    return _signed_in(request, token)


@router.post("/signout", dependencies=[Depends(require_same_origin)])
async def signout(request: Request) -> Response:
    """Forget the token."""
    response = RedirectResponse(f"{page_root(request)}/signin", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/assets/{name}")
async def static(name: str) -> Response:
    """Give one of our own files; its address changes with its content."""
    if name not in ASSETS:
        return Response(status_code=404)
    return Response(
        asset(name), media_type=ASSETS[name], headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


def _signed_in(request: Request, token: str) -> Response:
    service = service_of(request)
    try:
        viewer = read_token(token, service.settings)
    except TokenInvalid:
        service.wrong_tokens.take(client_address(request, service.settings))
        raise
    # A page of our own leads on: after a redirect from elsewhere the browser would keep the cookie back.
    response = render(request, "signed_in.html")
    response.set_cookie(
        COOKIE,
        token,
        httponly=True,
        max_age=max(0, int(viewer.expires_in_s)),
        samesite="strict",
        secure=is_on_tls(request, service.settings),
    )
    return response


def _why(request: Request, error: TokenInvalid) -> str:
    """Return what to tell who is not signed in; nothing, if they have not tried."""
    is_try = request.cookies.get(COOKIE) or request.url.path.endswith("/signin")
    return str(error) if is_try else ""
