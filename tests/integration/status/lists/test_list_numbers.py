"""The list against plain SQL over its rows, after histories by chance: every filter, order and direction."""

import base64
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.fleet.causes import cause_of
from masterflow.repository.status.reads import FlowScope
from masterflow.status.listing.asked import filter_of
from masterflow.status.manager import FlowStatusManager
from tests.integration.status.fleet.test_fleet_numbers import History
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import Sessions
from tests.support.processes.status_site import StatusSite

_TABLE = "migration.crewai_flow_state_extensions"
_SINCE = datetime.now(UTC) - timedelta(days=2)
_AT = _SINCE.isoformat()
_OPEN = "flow_status in ('initialized', 'active', 'processing', 'paused', 'waiting_for_approval')"
_ENDED_AT = (
    "case when flow_metadata #>> '{_enrichment,status,latest,1}' = flow_status"
    " then to_timestamp(left(flow_metadata #>> '{_enrichment,status,latest,0}', 16)::numeric / 1000000)"
    " else updated_at end"
)
_CAUSE = "no answer within # s"

_FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "true"),
    ({"status": ["failed", "paused"]}, "flow_status in ('failed', 'paused')"),
    ({"type": "assessment"}, "flow_type = 'assessment'"),
    ({"user": "tester"}, "user_id = 'tester'"),
    ({"since": _AT}, "created_at >= :since"),
    ({"until": _AT, "status": ["completed"]}, "created_at < :since and flow_status = 'completed'"),
    ({"waiting": "true"}, "flow_status in ('paused', 'waiting_for_approval')"),
    (
        {"liveness": ["lost"]},
        "flow_status in ('initialized', 'active', 'processing') and flow_metadata ? 'lost'",
    ),
    ({"ended_since": _AT}, f"not ({_OPEN}) and {_ENDED_AT} >= :since"),
    ({"ended_until": _AT, "status": ["failed"]}, f"flow_status = 'failed' and {_ENDED_AT} < :since"),
    (
        {"ran": "Data Import", "ran_since": _AT},
        "(phase_execution_times #>> '{data_import,completed_at}')::timestamptz >= :since",
    ),
    ({"meta.plan": "gold"}, "flow_metadata ->> 'plan' = 'gold'"),
    ({"meta.usage.calls": "3"}, "flow_metadata #>> '{usage,calls}' = '3'"),
    ({"cause": "no answer within 77 s", "seen_until": _AT}, "flow_id = any(cast(:of_cause as uuid[]))"),
]
_ORDERS = {
    "changed": "updated_at",
    "duration": f"case when {_OPEN} then cast(:now as timestamptz) else {_ENDED_AT} end - created_at",
    "errors": "jsonb_array_length(error_history)",
    "cost": "(flow_metadata #>> '{usage,cost_usd}')::numeric",
}


@pytest.fixture
async def contexts(sessions: Sessions) -> list[FlowContext]:
    """Two engagements of an account, and a foreign one, with histories."""
    one = new_context()
    contexts = [
        one,
        new_context().model_copy(update={"client_account_id": one.client_account_id}),
        new_context(),
    ]
    history = History(sessions, contexts, 11)
    await history.begin(70)
    await history.change(20)
    async with sessions.begin() as db:
        await db.execute(
            text(
                f'update {_TABLE} set flow_metadata = flow_metadata || \'{{"plan": "gold"}}\''
                " where get_byte(uuid_send(flow_id), 0) % 3 = 0"
            )
        )
        late = json.dumps({"overdue": [{"timestamp": "2026-11-02T09:30:00.000000+00:00"}]})
        await db.execute(
            text(
                f"update {_TABLE} set flow_metadata = flow_metadata || cast(:late as jsonb)"
                " where get_byte(uuid_send(flow_id), 1) % 3 = 0"
            ),
            {"late": late},
        )
    return contexts


async def _ids(sessions: Sessions, where: str, contexts: Sequence[FlowContext], order: str = "") -> list[Any]:
    arguments: dict[str, Any] = {
        "account": contexts[0].client_account_id,
        "engagements": [one.engagement_id for one in contexts],
    }
    scope = "client_account_id = :account and engagement_id = any(cast(:engagements as uuid[]))"
    by = f"{order} desc nulls last, flow_id desc" if order else "created_at desc, flow_id desc"
    if ":of_cause" in where:
        arguments["of_cause"] = await _of_cause(sessions)
    for name, value in (("since", _SINCE), ("now", datetime.now(UTC))):
        if f":{name}" in where + order:
            arguments[name] = value
    async with sessions() as db:
        rows = await db.execute(
            text(f"select flow_id from {_TABLE} where {scope} and {where} order by {by}"), arguments
        )
        return [str(row[0]) for row in rows]


async def _by_status(sessions: Sessions, where: str, contexts: Sequence[FlowContext]) -> dict[str, int]:
    found = set(await _ids(sessions, where, contexts))
    async with sessions() as db:
        rows = await db.execute(text(f"select flow_id, flow_status from {_TABLE}"))
        return dict(Counter(status for flow_id, status in rows if str(flow_id) in found))


async def _standing(sessions: Sessions, where: str, contexts: Sequence[FlowContext]) -> dict[str, int]:
    """Return how many of the flows stand how."""
    ways = {
        "lost": "flow_status in ('initialized', 'active', 'processing') and flow_metadata ? 'lost'",
        "overdue": f"{_OPEN} and flow_metadata ? 'overdue'",
        "waiting": "flow_status in ('paused', 'waiting_for_approval')",
    }
    return {name: len(await _ids(sessions, f"{where} and {way}", contexts)) for name, way in ways.items()} | {
        "silent": 0
    }


async def _causes(sessions: Sessions, where: str, contexts: Sequence[FlowContext]) -> dict[str, int]:
    found = set(await _ids(sessions, where, contexts))
    async with sessions() as db:
        rows = await db.execute(
            text(
                "select flow_id, entry ->> 'error'"
                f" from {_TABLE}, jsonb_array_elements(error_history) as entry"
            )
        )
        pairs = {(flow_id, cause_of(error)) for flow_id, error in rows if str(flow_id) in found}
    return dict(Counter(cause for _, cause in pairs))


async def _of_cause(sessions: Sessions) -> list[UUID]:
    last: dict[UUID, datetime] = {}
    async with sessions() as db:
        rows = await db.execute(
            text(
                "select flow_id, entry ->> 'error', (entry ->> 'timestamp')::timestamptz"
                f" from {_TABLE}, jsonb_array_elements(error_history) as entry"
            )
        )
        for flow_id, error, at in rows:
            if cause_of(error) == _CAUSE:
                last[flow_id] = max(at, last.get(flow_id, at))
    return [flow_id for flow_id, at in last.items() if at < _SINCE]


async def _read(
    site: StatusSite, context: FlowContext, **params: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the flows of all pages, and the pages."""
    pages: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    async with site.client(context) as client:
        while not pages or cursor:
            answer = await client.get("/api/v1/flows", params={"limit": 7, **params, **cursor})
            assert answer.is_success, answer.text
            pages.append(answer.json())
            assert pages[-1]["complete"] == (pages[-1]["next_cursor"] is None)
            cursor = {"cursor": pages[-1]["next_cursor"]} if pages[-1]["next_cursor"] else {}
    return [flow["flow_id"] for page in pages for flow in page["flows"]], pages


async def test_every_filter_and_order_is_what_sql_says_in_api_page_and_manager(
    site: StatusSite, sessions: Sessions, contexts: list[FlowContext]
) -> None:
    mine = contexts[:1]
    for words, where in _FILTERS:
        wanted = await _ids(sessions, where, mine)
        found, pages = await _read(site, mine[0], **words)
        assert found == wanted, words
        assert pages[-1]["searched"] >= len(wanted)
        counted = site.get("/api/v1/flows/counts", headers=site.bearer(mine[0]), params=words).json()
        assert (counted["flows"], counted["at_least"] or counted["causes_at_least"]) == (
            len(wanted),
            False,
        ), words
        standing = await _standing(sessions, where, mine)
        assert {name: counted[name] for name in standing} == standing, words
        assert words or (standing["lost"] and standing["overdue"] and standing["waiting"])
        if "seen_until" not in words:
            causes = {one["cause"]: one["flows"] for one in counted["causes"]}
            assert causes == await _causes(sessions, where, mine), words
        if "status" not in words:
            assert counted["by_status"] == await _by_status(sessions, where, mine), words
        cookie = {"Cookie": f"enrichment_token={site.token(mine[0])}"}
        page = site.get("/flows", headers=cookie, params={"life": "waiting"} if "waiting" in words else words)
        assert re.findall('data-flow="([^"]+)"', page.text) == wanted[:25], words
        told_standing = dict(re.findall("(lost|silent|overdue|waiting) ([0-9,]+)(?:</a>)?[,.]", page.text))
        assert told_standing == ({name: str(count) for name, count in standing.items()} if wanted else {})
        async with sessions() as db:
            both = FlowScope(mine[0].client_account_id, frozenset(one.engagement_id for one in contexts[:2]))
            if "liveness" not in words:
                listed = {name: [value] if isinstance(value, str) else value for name, value in words.items()}
                told = await FlowStatusManager(db, both).find_flows(filter_of(listed), limit=1000)
                assert [str(one.flow_id) for one in told.flows] == await _ids(
                    sessions, where, contexts[:2]
                ), words
    assert any([await _ids(sessions, where, mine) for _, where in _FILTERS[-6:]])
    for sort, order in _ORDERS.items():
        found, pages = await _read(site, mine[0], sort=sort)
        assert found == await _ids(sessions, "true", mine, order), sort
        assert {page["sorted_among"] for page in pages} == {None}


@pytest.mark.parametrize("sort", ["created", "errors"])
async def test_newer_pages_lead_back_over_the_same_flows(
    site: StatusSite, contexts: list[FlowContext], sort: str
) -> None:
    _, pages = await _read(site, contexts[0], sort=sort)
    assert len(pages) > 2
    back = [pages[-1]]
    async with site.client(contexts[0]) as client:
        while cursor := back[-1]["previous_cursor"]:
            back.append(
                (
                    await client.get("/api/v1/flows", params={"limit": 7, "sort": sort, "cursor": cursor})
                ).json()
            )
    assert [page["flows"] for page in back[::-1]] == [page["flows"] for page in pages]
    assert pages[0]["previous_cursor"] is None


async def test_a_cursor_belongs_to_its_filter_and_its_tenant(
    site: StatusSite, contexts: list[FlowContext]
) -> None:
    _, pages = await _read(site, contexts[0])
    cursor = pages[0]["next_cursor"]
    for context, params in [
        (contexts[0], {"status": "failed"}),
        (contexts[0], {"sort": "cost"}),
        (contexts[1], {}),
    ]:
        answer = site.get("/api/v1/flows", headers=site.bearer(context), params={"cursor": cursor, **params})
        assert (answer.status_code, answer.json()["type"]) == (
            409,
            "urn:enrichment:problem:cursor_of_another_list",
        )


@pytest.mark.parametrize(
    "words",
    [
        {"status": "lost"},
        {"since": "yesterday"},
        {"overdue": "perhaps"},
        {"sort": "name"},
        {"meta._enrichment.newest": "1"},
        {"meta.": "1"},
        {"life": "dead"},
        {f"meta.{number}": "1" for number in range(6)},
    ],
    ids=str,
)
def test_what_is_not_understood_is_told_so(site: StatusSite, words: dict[str, str]) -> None:
    context = new_context()
    paths = ["/flows"] if "life" in words else ["/api/v1/flows", "/flows"]
    for path in paths:
        answer = site.get(path, headers={"Cookie": f"enrichment_token={site.token(context)}"}, params=words)
        assert answer.status_code == 422, path
    if not words.keys() & {"life", "sort"}:
        with pytest.raises(InputInvalid):
            filter_of({one: [value] for one, value in words.items()})


async def test_a_big_account_is_looked_through_part_by_part_and_nothing_foreign_is_told(
    sessions: Sessions,
) -> None:
    mine, foreign = new_context(), new_context()
    async with sessions.begin() as db:
        for context, first in ((mine, 1), (foreign, 2)):
            await db.execute(
                text(
                    f"insert into {_TABLE} (id, flow_id, client_account_id, engagement_id, user_id,"
                    " flow_type, flow_name, created_at) select gen_random_uuid(), gen_random_uuid(),"
                    " :client_account_id, :engagement_id, :user_id, 'discovery', 'run ' || number,"
                    # Half of them begin at one moment.
                    " now() - make_interval(secs => greatest(number, 6000)) from"
                    " generate_series(cast(:first as int), 12000, 2) as number"
                ),
                {**context.model_dump(), "first": first},
            )
    async with sessions() as db:
        foreign_ids = set(
            await db.scalars(
                text(f"select flow_id from {_TABLE} where client_account_id = :account"),
                {"account": foreign.client_account_id},
            )
        )
        manager = FlowStatusManager(db, mine)
        seen: list[UUID] = []
        page = await manager.list_flows(limit=900, budget_s=0)
        while True:
            seen += [flow.flow_id for flow in page.flows]
            for cursor in filter(None, (page.next_cursor, page.previous_cursor)):
                assert UUID(bytes=base64.urlsafe_b64decode(cursor)[17:33]) not in foreign_ids
            if page.complete:
                break
            page = await manager.list_flows(limit=900, cursor=page.next_cursor, budget_s=0)
        assert page.searched == len(seen) == len(set(seen)) == 6_000
        assert not foreign_ids & set(seen)
        # Only the oldest one is meant: without time to look, a page says that it has not seen all.
        wanted = filter_of({"text": ["run 11999"]})
        short = await manager.list_flows(wanted, budget_s=0)
        assert (short.flows, short.complete) == ([], False)
        assert short.searched < 6_000
        assert len((await manager.find_flows(wanted)).flows) == 1
        nobody = await manager.find_flows(filter_of({"text": ["run 12000"]}))
        assert (nobody.flows, nobody.complete, nobody.searched) == ([], True, 6_000)
        part = await manager.list_flows(sort="errors", limit=5)
        assert part.sorted_among
        assert not part.complete
