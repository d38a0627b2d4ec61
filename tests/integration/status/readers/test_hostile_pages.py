"""What a row holds stays in its place on every page, and turns no text of others around."""

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from typing_extensions import override

from masterflow.domain import FlowContext
from tests.support.events.reported_flows import Sessions
from tests.support.processes.status_site import StatusSite
from tests.support.rows.hostile import HOSTILE, hostile_flow

#: What turns the direction of all that follows on its line, beyond its own text, unless it is isolated.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
#: Elements without an end tag.
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "rect", "line", "circle", "path"})
#: What a browser isolates by itself, as far as the direction of text goes: `dir` does it for any element.
_ISOLATES = frozenset({"bdi"})


class _Leaks(HTMLParser):
    """Finds what a page lets through: overrides that are not isolated, elements and attributes of a text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.seen = 0
        self._open: list[tuple[str, bool]] = []
        self.feed(page)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if (tag == "img" and ("src", "x") in attrs) or any(name.startswith("on") for name, _ in attrs):
            self.found.append(f"<{tag} {attrs}>")
        # What is shown or read aloud of attributes; a form sends back a `value` as it is.
        self.found += [
            f"{tag}@{name}: {value!r}"
            for name, value in attrs
            if name in ("title", "aria-label", "alt", "placeholder") and _TURNS.search(value or "")
        ]
        if tag not in _VOID:
            self._open.append((tag, tag in _ISOLATES or any(name == "dir" for name, _ in attrs)))

    @override
    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    @override
    def handle_data(self, data: str) -> None:
        if not _TURNS.search(data):
            return
        self.seen += 1
        if not any(isolates for _, isolates in self._open):
            self.found.append(f"{'/'.join(tag for tag, _ in self._open)}: {data.strip()!r:.80}")


@pytest.mark.parametrize("may_control", [False, True])
async def test_no_page_lets_a_text_out_of_its_place(
    site: StatusSite, sessions: Sessions, context: FlowContext, may_control: bool
) -> None:
    flow_id = await hostile_flow(sessions, context)
    cookie = {"Cookie": f"enrichment_token={site.token(context, may_control=may_control)}"}
    for path in (
        "/fleet?window=hour",
        "/inbox",
        "/flows",
        f"/flows/{flow_id}",
        f"/flows/{flow_id}/report",
        f"/flows?phase={quote(HOSTILE)}",
        f"/flows?type={quote(HOSTILE)}",
        f"/flows?status={quote(HOSTILE)}",
        f"/fleet?window={quote(HOSTILE)}",
        f"/flows/{quote(HOSTILE, safe='')}",
    ):
        answer = site.get(path, headers=cookie)
        leaks = _Leaks(answer.text)
        assert not leaks.found, (path, leaks.found)
        if "%" not in path:
            assert answer.status_code == 200, path
            assert leaks.seen > 0, path
