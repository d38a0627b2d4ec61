"""What every route of ours has: headers that keep browsers safe, problem documents, and its time taken."""

import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

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


class SafeRoute(APIRoute):
    """A route that keeps its promises in whatever application it is mounted."""

    def tell(self, _request: Request, error: Exception) -> Response | None:
        """Return the response that an error stands for, or None if it is a fault of ours."""
        return problem_of(error)

    @override
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_safely(request: Request) -> Response:
            started = time.monotonic()
            response = _refusal(request) or await self._answer(request, handle)
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


def _refusal(request: Request) -> Response | None:
    size = request.headers.get("content-length", "0")
    is_chunked = "transfer-encoding" in request.headers
    if len(str(request.url)) > _MOST_URL_CHARS:
        return problem(414, "Too long", reason="too_long", detail="The address is too long.")
    if is_chunked or not size.isdigit() or int(size) > _MOST_BODY_BYTES:
        return problem(
            413, "Too big", reason="too_big", detail="The body is too big, or does not say its size."
        )
    if repeated := _repeated(request):
        detail = f"Give {', '.join(repeated)[:500]} once."
        return problem(422, "Not understood", reason="invalid", detail=detail)
    return None


def _repeated(request: Request) -> list[str]:
    if "&" not in request.url.query:
        return []
    names = Counter(name for name, _ in request.query_params.multi_items())
    return sorted(name for name in names.keys() - _REPEATABLE if names[name] > 1)
