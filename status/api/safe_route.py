"""What every route of ours has: headers that keep browsers safe, problem documents, and its time taken."""

import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from fastapi import Request, Response
from fastapi.routing import APIRoute
from typing_extensions import override

from masterflow.status.api.problems import problem, problem_of
from masterflow.status.service import service_of

#: More than the longest parameters that are allowed, all at once.
_MOST_URL_CHARS: Final = 8_192
_MOST_BODY_BYTES: Final = 16_384

#: The parameters that may be given more than once; of any other the last one would win unnoticed.
_REPEATABLE: Final = frozenset({"liveness", "status"})

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not "no-referrer": then a browser would not tell from where a form was sent.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Refusal(NamedTuple):
    """Why a request is not even looked at."""

    status: int
    title: str
    reason: str
    detail: str


class SafeRoute(APIRoute):
    """A route that keeps its promises in whatever application it is mounted."""

    def tell(self, _request: Request, error: Exception) -> Response | None:
        """Return the response that an error stands for, or None if it is a fault of ours."""
        return problem_of(error)

    def refuse(self, _request: Request, refusal: Refusal) -> Response:
        """Return the response to what is not even looked at."""
        return problem(refusal.status, refusal.title, reason=refusal.reason, detail=refusal.detail)

    @override
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_safely(request: Request) -> Response:
            started = time.monotonic()
            refused = _refusal(request)
            response = self.refuse(request, refused) if refused else await self._answer(request, handle)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            seconds = time.monotonic() - started
            service_of(request).metrics.observe(self.path, response.status_code, seconds=seconds)
            return response

        return handle_safely

    async def _answer(self, request: Request, handle: Handler) -> Response:
        try:
            return await handle(request)
        except Exception as error:
            response = self.tell(request, error)
            if response is None:
                raise
            return response


def _refusal(request: Request) -> Refusal | None:
    size = request.headers.get("content-length", "0")
    is_chunked = "transfer-encoding" in request.headers
    if len(str(request.url)) > _MOST_URL_CHARS:
        return Refusal(414, "Too long", "too_long", "The address is too long.")
    if is_chunked or not size.isdigit() or int(size) > _MOST_BODY_BYTES:
        return Refusal(413, "Too big", "too_big", "The body is too big, or does not say its size.")
    if repeated := _repeated(request):
        return Refusal(422, "Not understood", "invalid", f"Give {', '.join(repeated)[:500]} once.")
    return None


def _repeated(request: Request) -> list[str]:
    if "&" not in request.url.query:
        return []
    names = Counter(name for name, _ in request.query_params.multi_items())
    return sorted(name for name in names.keys() - _REPEATABLE if names[name] > 1)
