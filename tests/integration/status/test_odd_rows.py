import asyncio
import io
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import Phase, given, settings
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowContext
from masterflow.domain.events import ProgressReported
from masterflow.repository.backfill.reads import Scope
from masterflow.repository.database import session_factory
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.repository.status.changes import read_entries, read_summaries
from masterflow.repository.status.reads import FlowScope
from masterflow.scripts.terminal.flow_lines import news_document, news_line, summary_line
from masterflow.scripts.terminal.flow_news import Known
from masterflow.scripts.terminal.flow_panel import FlowPanel, flow_table
from masterflow.scripts.terminal.flow_view import read_flow
from masterflow.status.live.listeners import Change
from masterflow.status.reading.rows import summary_of
from masterflow.tasks.backfill.catch_up import BackfillOptions, catch_up
from tests.support.event_streams import event_reader
from tests.support.events.flows import new_context
from tests.support.events.odd_rows import FORGED, LISTS, MAPS, PLACE, TYPES, children, masters
from tests.support.events.reported_flows import Sessions, flow_of, report
from tests.support.processes.status_site import PROBE_TOKEN, StatusSite
from tests.support.servers.databases import engine_for

_MASTER = "migration.crewai_flow_state_extensions"
_CHILD = "migration.discovery_flows"

#: The first and the last that Postgres can hold; a bigint holds no microseconds of the latter.
ENDS_OF_TIME = ("4714-11-24 00:00:00 UTC BC", "294276-12-31 23:59:59 UTC")


async def test_odd_rows_take_nobody_elses_changes_away_and_are_shown_themselves(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    other = new_context()
    odd = {await flow_of(sessions, context): forged for forged in FORGED}
    flows = {of: await flow_of(sessions, of) for of in (context, other)}
    change = "updated_at = {}, flow_metadata = cast(:metadata as jsonb)"
    async with (
        site.client(context) as client,
        site.client(other) as other_client,
        event_reader(client) as reader,
        event_reader(other_client) as other_reader,
    ):
        for number, at in enumerate(["now()", "'infinity'", "now()"]):
            query = text(f"update {_MASTER} set {change.format(at)} where flow_id = :flow")
            async with sessions.begin() as db:
                for flow_id, forged in odd.items():
                    await db.execute(query, {"metadata": forged, "flow": flow_id})
            for of, listening in ((context, reader), (other, other_reader)):
                progress = (ProgressReported, {"snapshot": {"progress_percentage": number}})
                await report(sessions, of, flows[of], progress)
                assert (await listening.flow(flows[of])).data["progress_percentage"] == number
    told = {event.data["flow_id"] for event in reader.events if event.name == "flow"}
    assert set(map(str, odd)) <= told
    assert not [event for event in (*reader.events, *other_reader.events) if event.name == "unavailable"]
    assert site.get("/health/ready", headers={"Authorization": f"Bearer {PROBE_TOKEN}"}).status_code == 200


async def _write(db: AsyncSession, table: str, flow_id: UUID, columns: dict[str, Any]) -> None:
    for name, value in columns.items():
        # What Postgres reads from a text is what it can hold.
        read = f"cast(cast(:value as text) as {TYPES.get(name, 'jsonb')})"
        query = text(f"update {table} set {name} = {read} where flow_id = :flow")
        await db.execute(query, {"value": value, "flow": flow_id})


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _check_site(site: StatusSite, context: FlowContext, flow_id: UUID) -> None:
    api = [f"/{flow_id}/{name}" for name in ("status?include_details=true", "timeline", "errors", "activity")]
    for path in ["", *api]:
        answer = site.get(f"/api/v1/flows{path}", headers=site.bearer(context))
        assert answer.status_code == 200, (path, answer.text)
        assert str(flow_id) in answer.text
        json.loads(answer.text, parse_constant=_no_constant)
        assert PLACE[:10] not in json.dumps(_times(answer.json()))
    told = site.get("/metrics", headers={"Authorization": f"Bearer {PROBE_TOKEN}"})
    assert told.status_code == 200
    assert str(flow_id) not in told.text
    for path in ("/flows", f"/flows/{flow_id}", f"/flows/{flow_id}/report"):
        answer = site.get(path, headers=site.bearer(context))
        assert answer.status_code == 200, (path, answer.text)
        assert str(flow_id) in answer.text


def _times(answer: Any) -> list[Any]:
    """Return what an answer gives as times; a list or an object under such a name is shown for what it is."""
    if isinstance(answer, list):
        return [time for item in answer for time in _times(item)]
    if not isinstance(answer, dict):
        return []
    texts = {name: value for name, value in answer.items() if isinstance(value, str)}
    found = [value for name, value in texts.items() if name == "timestamp" or name.endswith("_at")]
    return found + [
        time for name in ("flows", "bars", "transitions", "errors") for time in _times(answer.get(name))
    ]


async def _check_terminal(sessions: Sessions, context: FlowContext, flow_id: UUID) -> None:
    scope = FlowScope.of(context)
    async with sessions() as db:
        view = await read_flow(db, scope, flow_id)
        [row] = await read_summaries(db, [context.client_account_id], flow_ids=[flow_id])
        lists = await read_entries(db, scope, flow_ids=[flow_id])
        repository = CrewAIFlowStateExtensionsRepository(
            db, context.client_account_id, context.engagement_id, "a"
        )
        assert await repository.get_by_flow_id(flow_id)
    summary = summary_of(row)
    assert "cannot be read" not in str(summary.message)
    Change.of(1, "1", summary=summary, client_account_id=context.client_account_id)
    console = Console(file=io.StringIO(), width=100)
    console.print(FlowPanel(view), flow_table([summary]), summary_line(summary))
    for news in Known().learn(summary, lists[flow_id]):
        console.print(news_line(summary, news), json.dumps(news_document(summary, news), allow_nan=False))
    json.dumps(view.as_json(), allow_nan=False)


def test_every_reader_shows_every_row_that_postgres_can_hold(
    site_and_database: tuple[StatusSite, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, url = site_and_database
    engine = engine_for(url)
    sessions = session_factory(engine)
    monkeypatch.setenv("TZ", "Pacific/Auckland")

    async def check(row: dict[str, Any], child: dict[str, Any]) -> None:
        context = new_context()
        flow_id = await flow_of(sessions, context)
        columns = ("flow_id", "client_account_id", "engagement_id", "user_id", "flow_name")
        query = f"insert into {_CHILD} (id, {', '.join(columns)}) values (:id, :{', :'.join(columns)})"
        values = {"id": uuid4(), "flow_id": flow_id, "flow_name": "child", **context.model_dump()}
        async with sessions.begin() as db:
            await db.execute(text(query), values)
            await _write(db, _MASTER, flow_id, row)
            await _write(db, _CHILD, flow_id, child)
        _check_site(site, context, flow_id)
        await _check_terminal(sessions, context, flow_id)
        summary = await catch_up(sessions, [flow_id], Scope(), BackfillOptions())
        assert not summary.failed
        await _check_terminal(sessions, context, flow_id)

    with asyncio.Runner() as runner:

        @settings(max_examples=15, phases=[Phase.explicit, Phase.generate])
        @given(row=masters, child=children)
        def every_row(row: dict[str, Any], child: dict[str, Any]) -> None:
            runner.run(check(row, child))

        try:
            for forged in FORGED:
                runner.run(check(dict.fromkeys([*LISTS, *MAPS], forged), {"crewai_state_data": forged}))
            for at in ENDS_OF_TIME:
                runner.run(check({"created_at": at, "updated_at": at, "flow_status": "paused"}, {}))
            every_row()
        finally:
            runner.run(engine.dispose())
