"""What went wrong, as RFC 9457 problem documents; they quote neither the caller nor the database."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from masterflow.domain import DatabaseUnavailable, EnrichmentError, FlowNotFound, InputInvalid, TenantMismatch
from masterflow.domain.errors import DatabaseMisconfigured
from masterflow.repository.redis.client import RedisUnavailable
from masterflow.status.access.limits import TooManyRequests
from masterflow.status.access.tokens import TokenInvalid
from masterflow.status.control.sender import RequestRefused
from masterflow.status.cursors import CursorElsewhere
from masterflow.status.live.changes import TooManyStreams
from masterflow.tasks.enqueue import BrokerUnavailable

MEDIA_TYPE: Final = "application/problem+json"

_RETRY_AFTER_S: Final = 2


class Problem(BaseModel):
    """RFC 9457; `type` ends with a word that programs can rely on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:enrichment:problem:flow_not_found",
                    "title": "Not found",
                    "status": 404,
                    "detail": "There is no flow 0198c4a2-7d5e-7c3a-9b0e-3f8f6f1f2a11.",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str


class Forbidden(EnrichmentError):
    """Whoever asks is known, and may not see this."""

    reason = "forbidden"


class NotReady(EnrichmentError):
    """Something that is needed is away; the message says what."""

    reason = "not_ready"


_KINDS: Final[dict[type[EnrichmentError], tuple[int, str]]] = {
    TokenInvalid: (401, "Not signed in"),
    Forbidden: (403, "Not allowed"),
    FlowNotFound: (404, "Not found"),
    CursorElsewhere: (409, "Of another list"),
    RequestRefused: (409, "Not possible now"),
    InputInvalid: (422, "Not understood"),
    TooManyRequests: (429, "Too many requests"),
    TooManyStreams: (503, "Too many streams"),
    BrokerUnavailable: (503, "Broker unavailable"),
    DatabaseUnavailable: (503, "Database unavailable"),
    DatabaseMisconfigured: (503, "Database misconfigured"),
    RedisUnavailable: (503, "Redis unavailable"),
    NotReady: (503, "Not ready"),
}

_DESCRIPTIONS: Final = {
    400: "The body is no text that JSON could be.",
    401: "There is no token, or one that does not hold.",
    403: "The token holds, and is for something else.",
    404: "There is no such flow among those you may see.",
    409: "The flow cannot be asked this now, or the cursor belongs to another list; `detail` says which.",
    413: "The body is too big, or does not say its size.",
    422: "A parameter is not understood, or an answer is none of those that were asked for.",
    429: "Too many requests; `Retry-After` says when to go on.",
    503: "Postgres, Redis or the broker is away, or Postgres has to be set up; `detail` says what to do.",
}


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return these problems for the OpenAPI document of whatever application the routes are mounted in."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses}


def problem_of(error: Exception) -> JSONResponse | None:
    """Return the response an error stands for, or None if it is a fault of ours."""
    if isinstance(error, RequestValidationError):
        return problem(422, "Not understood", reason="invalid", detail=_detail(error.errors()))
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail), reason="http", detail=str(error.detail))
    for kind in type(error).__mro__:
        if kind in _KINDS:
            status, title = _KINDS[kind]
            # Whoever asks must not learn that somebody else has such a flow.
            said = FlowNotFound if isinstance(error, TenantMismatch) else error
            return problem(status, title, reason=getattr(said, "reason", "error"), detail=str(error))
    return None


def _detail(errors: Sequence[Any]) -> str:
    for item in errors:
        if item["type"] == "json_invalid":
            return f"The body is no JSON, from its character {item['loc'][-1]} on; send a JSON object."
        if tuple(item["loc"]) == ("body",):
            return "Send a JSON object as the body, with the header Content-Type: application/json."
    names = sorted({".".join(map(str, item["loc"][1:])) for item in errors})
    return f"Look at {', '.join(names)[:500]}."


def problem(status: int, title: str, *, reason: str, detail: str) -> JSONResponse:
    """Return one problem document."""
    document = Problem(type=f"urn:enrichment:problem:{reason}", title=title, status=status, detail=detail)
    response = JSONResponse(document.model_dump(), status, media_type=MEDIA_TYPE)
    if status in {429, 503}:
        response.headers["Retry-After"] = str(_RETRY_AFTER_S)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="enrichment"'
    return response
