"""Who may ask what: the bearer token of a request, or the cookie of somebody who signed in.

Nothing here waits; it is async because FastAPI runs what is not in a thread, which costs more than it does.
"""

import secrets
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request

from masterflow.status.access.tokens import TokenInvalid, Viewer, read_token
from masterflow.status.api.problems import Forbidden
from masterflow.status.service import service_of

COOKIE: Final = "enrichment_token"

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


async def viewer_of(request: Request) -> Viewer:
    """Return who asks.

    What raises TooManyRequests came too soon; a wrong token counts as a guess, none at all does not.

    Raises:
        TokenInvalid: nobody asks, as far as we can tell.
    """
    service, token = service_of(request), _token_of(request)
    try:
        viewer = read_token(token, service.settings)
    except TokenInvalid:
        service.wrong_tokens.take(_host_of(request))
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
    is_own = urlsplit(origin).netloc == request.headers.get("host") if site is None else site == "same-origin"
    if not is_own:
        raise Forbidden("This form was not sent from our own page.")


def _token_of(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        raise TokenInvalid("Send `Authorization: Bearer <token>`.")
    # A browser sends a cookie by itself, so it only lets people look.
    cookie = request.cookies.get(COOKIE) if request.method in _SAFE_METHODS else None
    if not cookie:
        raise TokenInvalid("Send `Authorization: Bearer <token>`, or sign in.")
    return cookie


def _host_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


SignedIn = Annotated[Viewer, Depends(viewer_of)]
