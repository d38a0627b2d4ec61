"""Whether a status API is well, as it says itself over HTTP; with the standard library alone."""

import json
from http.client import HTTPException
from typing import Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from masterflow.domain import InputInvalid
from masterflow.tasks.check_result import CheckResult

_ANSWER_TIMEOUT_S: Final = 3
_MOST_BYTES: Final = 10_000
_OK: Final = 200
_NO_TOKEN: Final = (401, 403)
_NOT_READY: Final = 503


class _NoRedirect(HTTPRedirectHandler):
    """Leaves a redirect unfollowed: what is asked is this server, and it may not send the token on."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


class _Answer(NamedTuple):
    """What an HTTP server said."""

    status: int
    text: str


# What the environment says of proxies is for the way out, not for the process beside us.
_ask_directly: Final = build_opener(ProxyHandler({}), _NoRedirect()).open


def api_health(url: str, *, probe_token: str = "", asks_ready: bool = True) -> list[CheckResult]:
    """Return whether the API at this address lives, and whether it can work: Postgres and Redis answer it.

    Raises:
        InputInvalid: it is no address, or readiness is asked for without the probe token.
    """
    if not _is_address(url):
        raise InputInvalid(f"{url!r:.200} is no address of a status API; pass http://host:port.")
    if asks_ready and not probe_token:
        raise InputInvalid(
            "Set ENRICHMENT_STATUS_PROBE_TOKEN as the API has it, to ask whether it is ready, or pass --live."
        )
    results = [_alive(url)]
    if asks_ready and results[0].level == "well":
        results.append(_ready(url, probe_token))
    return results


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _alive(url: str) -> CheckResult:
    answer = _get(f"{url.rstrip('/')}/health/live")
    if isinstance(answer, CheckResult):
        return answer
    if answer != _Answer(_OK, "alive\n"):
        found = f"What answers at {url} ({answer.status}) is no status API"
        return CheckResult("alive", "problem", found, "name its address with --url or --port")
    return CheckResult("alive")


def _ready(url: str, probe_token: str) -> CheckResult:
    answer = _get(f"{url.rstrip('/')}/health/ready", f"Bearer {probe_token}")
    if isinstance(answer, CheckResult):
        return answer
    if answer.status in _NO_TOKEN:
        advice = "pass ENRICHMENT_STATUS_PROBE_TOKEN as the API has it"
        return CheckResult("ready", "problem", "The API does not know the probe token", advice)
    if answer.status == _NOT_READY:
        return CheckResult("ready", "away", _detail(answer.text))
    if answer.status != _OK:
        return CheckResult(
            "ready", "problem", f"The API answers with status {answer.status}", "look at its log"
        )
    return CheckResult("ready")


def _get(url: str, authorization: str = "") -> _Answer | CheckResult:
    """Return what the server says, or what it means that it says nothing."""
    headers = {"Authorization": authorization} if authorization else {}
    try:
        with _ask_directly(Request(url, headers=headers), timeout=_ANSWER_TIMEOUT_S) as answer:  # noqa: S310  checked
            return _Answer(answer.status, _text(answer.read(_MOST_BYTES)))
    except HTTPError as error:
        with error:
            return _Answer(error.code, _text(error.read(_MOST_BYTES)))
    except (HTTPException, OSError, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        name = "ready" if authorization else "alive"
        found = f"The status API does not answer at {url} ({cause!s:.200})"
        return CheckResult(
            name, "away", found, "start it (`python -m masterflow.status`), or name another address"
        )


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _detail(problem: str) -> str:
    """Return the sentence of a problem document."""
    try:
        return str(json.loads(problem)["detail"])
    except (ValueError, KeyError, TypeError):
        return "The API is not ready"
