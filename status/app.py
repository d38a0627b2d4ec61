"""The status application: API, live page and probes in one."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from masterflow.repository.settings import DatabaseSettings, RedisSettings
from masterflow.status import page
from masterflow.status.api import flows as api
from masterflow.status.api import probes
from masterflow.status.api.problems import problem_of
from masterflow.status.api.safe_route import HEADERS
from masterflow.status.settings import StatusSettings
from masterflow.tasks.enqueue import QueueSettings


def make_app(
    settings: StatusSettings | None = None,
    *,
    database: DatabaseSettings | None = None,
    redis: RedisSettings | None = None,
    queue: QueueSettings | None = None,
) -> FastAPI:
    """Return the application; what is None is read from the environment when it starts."""
    app = FastAPI(
        title="Flow status",
        version="1",
        description="What flows are doing. Send `Authorization: Bearer <token>`.",
        # Their pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        # Nothing is for anybody, so the router serves it.
        openapi_url=None,
        # It would lead to whatever host the request names.
        redirect_slashes=False,
    )
    app.state.status_settings = settings
    app.state.database_settings = database
    app.state.redis_settings = redis
    app.state.queue_settings = queue
    for router in (api.router, probes.router, page.router):
        app.include_router(router)
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _tell)
    _describe_security(app)
    return app


async def _tell(request: Request, error: Exception) -> Response:
    """Answer what no route takes: with a page where somebody typed an address into a browser."""
    told = problem_of(error)
    if told is None:
        raise error
    response: Response = told
    if _is_of_a_browser(request):
        response = page.problem_page(request, told.status_code, "There is no page at this address.")
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    response.headers.update(HEADERS)
    return response


def _is_of_a_browser(request: Request) -> bool:
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    is_for_programs = path.startswith(("/api/", "/assets/", "/health/", "/metrics"))
    return not is_for_programs and "text/html" in request.headers.get("accept", "")


def _describe_security(app: FastAPI) -> None:
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        document["security"] = [{"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it
