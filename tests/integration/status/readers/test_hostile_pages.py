"""What a row holds stays in its place on every page, and turns no text of others around."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from typing_extensions import override

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    PhaseTimed,
    QuestionAsked,
    StatusChanged,
    UsageReported,
)
from masterflow.domain.usage.amounts import Usage, UsageCounted
from tests.support.events.reported_flows import Sessions, flow_of, report, told
from tests.support.processes.status_site import StatusSite

_FORGED = "2026-01-01 00:00:00 ERROR FORGED"
_HOSTILE = f"a\x1b[2J\x9b31m\x85b\u202ec\u2066d\u2028e\"'><img src=x onerror=alert(1)>\r\n{_FORGED}"
_MARK = "MARK"
_USED = Usage(1, 5, 5, 0, 0)
_COUNTED = UsageCounted(by="process-0001", agent=_USED, flow=_USED)

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


async def _hostile_flow(sessions: Sessions, context: FlowContext) -> UUID:
    flow_id = await flow_of(sessions, context)
    await report(
        sessions,
        context,
        flow_id,
        told(_MARK, "processing", message=_MARK),
        (PhaseTimed, {"phase": _MARK, "execution_time_ms": 1200.0}),
        (ErrorOccurred, {"phase": _MARK, "error": _MARK, "details": {_MARK: _MARK}}),
        (AgentCollaborated, {"entry": {"agent": _MARK, "activity": _MARK}}),
        (UsageReported, {"agent": _MARK, "model": _MARK, "used": _USED, "counted": _COUNTED}),
        (QuestionAsked, {"event_id": uuid4(), "key": _MARK, "question": _MARK, "options": [_MARK, "no"]}),
        (QuestionAsked, {"event_id": uuid4(), "key": "free", "question": _MARK}),
        (StatusChanged, {"status": "waiting_for_approval"}),
    )
    table = "migration.crewai_flow_state_extensions"
    columns = (
        "select column_name, udt_name from information_schema.columns where table_schema = 'migration'"
        " and table_name = 'crewai_flow_state_extensions' and udt_name in ('json', 'jsonb')"
    )
    async with sessions.begin() as db:
        its = {"it": _HOSTILE, "flow_id": flow_id}
        await db.execute(
            text(f"update {table} set flow_name = :it, user_id = :it where flow_id = :flow_id"), its
        )
        its = {"mark": _MARK, "it": json.dumps(_HOSTILE)[1:-1], "flow_id": flow_id}
        for name, kind in (await db.execute(text(columns))).all():
            changed = f"replace({name}::text, :mark, :it)::{kind}"
            await db.execute(text(f"update {table} set {name} = {changed} where flow_id = :flow_id"), its)
    return flow_id


@pytest.mark.parametrize("may_control", [False, True])
async def test_no_page_lets_a_text_out_of_its_place(
    site: StatusSite, sessions: Sessions, context: FlowContext, may_control: bool
) -> None:
    flow_id = await _hostile_flow(sessions, context)
    cookie = {"Cookie": f"enrichment_token={site.token(context, may_control=may_control)}"}
    for path in (
        "/fleet?window=hour",
        "/inbox",
        "/flows",
        f"/flows/{flow_id}",
        f"/flows/{flow_id}/report",
        f"/flows?phase={quote(_HOSTILE)}",
        f"/flows?type={quote(_HOSTILE)}",
        f"/flows?status={quote(_HOSTILE)}",
        f"/fleet?window={quote(_HOSTILE)}",
        f"/flows/{quote(_HOSTILE, safe='')}",
    ):
        answer = site.get(path, headers=cookie)
        leaks = _Leaks(answer.text)
        assert not leaks.found, (path, leaks.found)
        if "%" not in path:
            assert answer.status_code == 200, path
            assert leaks.seen > 0, path
