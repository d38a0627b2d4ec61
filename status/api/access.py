"""Who may ask what: the bearer token of a request, or the cookie of somebody who signed in.

Nothing here waits; it is async because FastAPI runs what is not in a thread, which costs more than it does.
"""

import secrets
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request

from masterflow.status.access.addresses import client_address
from masterflow.status.access.tokens import TokenInvalid, Viewer, read_token
from masterflow.status.api.problems import Forbidden
from masterflow.status.service import service_of

COOKIE: Final = "enrichment_token"

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


async def viewer_of(request: Request) -> Viewer:
    """Return who asks; raises TokenInvalid where nobody does, as far as we can tell.

    What raises TooManyRequests came too soon; a wrong token counts as a guess, none at all does not.
    """
    return _viewer(request, _token_of(request))


async def controller_of(request: Request) -> Viewer:
    """Return who tells a flow what to do; a cookie counts if one of our own pages sent it.

    Raises:
        Forbidden: their token is for looking only, or another site lets their browser send this.
    """
    if "authorization" not in request.headers and request.cookies.get(COOKIE):
        await require_same_origin(request)
        viewer = _viewer(request, request.cookies[COOKIE])
    else:
        viewer = _viewer(request, _token_of(request))
    if not viewer.may_control:
        raise Forbidden("This token is for looking only; telling flows what to do needs the scope `control`.")
    return viewer


def _viewer(request: Request, token: str) -> Viewer:
    service = service_of(request)
    try:
        viewer = read_token(token, service.settings)
    except TokenInvalid:
        service.wrong_tokens.take(client_address(request, service.settings))
        raise
    service.rates.take(f"{viewer.client_account_id}/{viewer.user_id}")
    return viewer


async def require_prober(request: Request) -> None:
    """Let only those through who hold the probe token: what they see is everybody's.

    What raises TokenInvalid came without any token that holds.

    Raises:
        Forbidden: they hold another one.
    """
    service = service_of(request)
    token, wanted = _token_of(request), service.settings.probe_token
    if wanted is not None and secrets.compare_digest(token.encode(), wanted.get_secret_value().encode()):
        return
    await viewer_of(request)
    raise Forbidden("This needs the probe token of the service (ENRICHMENT_STATUS_PROBE_TOKEN).")


async def require_same_origin(request: Request) -> None:
    """Refuse what another site lets a browser send.

    Raises:
        Forbidden: it comes from elsewhere, or does not say from where.
    """
    origin, site = request.headers.get("origin", ""), request.headers.get("sec-fetch-site")
    # Browsers tell the latter on TLS and on this machine. The scheme may be that of a proxy before us.
    is_own = _netloc(origin) == request.headers.get("host") if site is None else site == "same-origin"
    if not is_own:
        raise Forbidden("This form was not sent from our own page.")


def _netloc(origin: str) -> str:
    """Return the host and port of an origin; empty if it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _token_of(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        raise TokenInvalid("Send `Authorization: Bearer <token>`.")
    # A browser sends a cookie by itself, so alone it only lets people look.
    cookie = request.cookies.get(COOKIE) if request.method in _SAFE_METHODS else None
    if not cookie:
        raise TokenInvalid("Send `Authorization: Bearer <token>`, or sign in.")
    return cookie


SignedIn = Annotated[Viewer, Depends(viewer_of)]
Controller = Annotated[Viewer, Depends(controller_of)]
