"""Templates to HTML: every value is escaped, and nothing in a page may come from elsewhere."""

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from masterflow.domain.shown.harmless import harmless
from masterflow.status import usage
from masterflow.status.flow import usual
from masterflow.status.page import words
from masterflow.status.page.roots import page_root

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_environment: Final = Environment(
    autoescape=True,
    loader=PackageLoader("masterflow.status.page"),
    lstrip_blocks=True,
    trim_blocks=True,
    undefined=StrictUndefined,
)
_environment.filters |= {name: getattr(words, name) for name in words.__all__}
# Where no element can keep a text's direction to itself: in titles and labels.
_environment.filters["harmless"] = harmless
_environment.filters |= {
    name: getattr(usual, name) for name in ("slower_words", "usual_words", "remaining_words")
}
_environment.filters |= {name: getattr(usage, name) for name in ("budget", "calls", "cost", "used")}

#: The scripts stand in the order in which they are loaded.
SCRIPTS: Final = ("ticking.js", "patch.js", "page.js")
ASSETS: Final = {
    "page.css": "text/css",
    **dict.fromkeys(SCRIPTS, "text/javascript"),
    "icon.svg": "image/svg+xml",
}


@cache
def asset(name: str) -> str:
    """Return one of our own files."""
    return files("masterflow.status.page").joinpath("static", name).read_text(encoding="utf-8")


@cache
def _assets_version() -> str:
    return hashlib.sha256("".join(map(asset, ASSETS)).encode()).hexdigest()[:12]


def render(request: Request, template: str, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """Return a page."""
    text = _environment.get_template(template).render(
        root=page_root(request),
        version=_assets_version(),
        scripts=SCRIPTS,
        now=datetime.now(UTC),
        **{"signed_in": True, "events": None, **values},
    )
    return HTMLResponse(text, status_code, {"Content-Security-Policy": _CSP})


def problem_page(request: Request, status_code: int, detail: str, *, will_pass: bool = False) -> HTMLResponse:
    """Return a page that says why there is nothing to see; one that may pass looks again by itself."""
    return render(request, "problem.html", status_code=status_code, detail=detail, will_pass=will_pass)


def render_report(**values: Any) -> str:
    """Return a page that is complete in one file, without scripts."""
    style = asset("page.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _environment.get_template("report.html").render(style=style, style_digest=digest, **values)
