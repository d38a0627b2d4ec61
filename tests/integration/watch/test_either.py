"""Whoever asks for lost and silent flows at once means either: over HTTP, on the page and in the terminal."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from redis import Redis

from masterflow.domain import FlowContext
from masterflow.domain.events import StatusChanged, new_event
from masterflow.domain.life.deaths import lost_event
from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.signs import OWN_FIELD, Held, own_text
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from masterflow.repository.database import session_factory
from masterflow.repository.merge.merges import apply_events
from tests.support.events.flows import new_flow
from tests.support.processes.status_site import StatusSite
from tests.support.servers.databases import engine_for

FLOWCTL = Path(sys.executable).with_name("flowctl")


async def test_lost_and_silent_together_mean_either(
    database_url: str, redis_url: str, tmp_path: Path, context: FlowContext
) -> None:
    engine = engine_for(database_url)
    flows: dict[str, UUID] = {}
    async with session_factory(engine).begin() as session:
        for name in ("lost", "silent", "alive", "nobody's"):
            flows[name] = await new_flow(session, context)
        now = datetime.now(UTC)
        started: list[Any] = [
            new_event(StatusChanged, context, each, occurred_at=now, status="processing")
            for each in flows.values()
        ]
        held = HeldFlow(flows["lost"], context, None, 1)
        moment = int(now.timestamp() * 1e6) + 1
        dead = lost_event(held, cause="goodbye", holder="gone-1-0123abcd", moment=moment)
        await apply_events(session, [*started, dead])
    await engine.dispose()
    with Redis.from_url(redis_url) as redis:
        redis.delete(ALIVE_KEY)
        for name, age_s in (("silent", 100), ("alive", -600)):
            sign = {
                OWN_FIELD: own_text(host="host", pid=1, moment=1, sequence=1),
                str(flows[name]): Held(HeldFlow(flows[name], context, None, 1)).text(),
            }
            redis.hset(holds_key(name), mapping=sign)
            redis.zadd(ALIVE_KEY, {name: time.time() - age_s})
    either = {str(flows["lost"]), str(flows["silent"])}
    with StatusSite(tmp_path / "site", database_url=database_url, redis_url=redis_url) as site:
        headers = site.bearer(context)
        answer = site.get("/api/v1/flows?liveness=lost&liveness=silent", headers=headers)
        assert answer.status_code == 200, answer.text
        listed = answer.json()["flows"]
        assert {flow["flow_id"] for flow in listed} == either
        page = site.get("/flows", headers=headers, params={"life": "lost or silent"}).text
        assert {name for name, flow_id in flows.items() if str(flow_id) in page} == {"lost", "silent"}
        assert "<option selected>lost or silent</option>" in page
    tenant = ["--client", str(context.client_account_id), "--engagement", str(context.engagement_id)]
    said = subprocess.run(  # noqa: ASYNC221  nothing else runs here
        [FLOWCTL, "flow", "list", "--lost", "--silent", "--json", *tenant],
        env={"DATABASE_URL": database_url, "REDIS_URL": redis_url},
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert {flow["flow_id"] for flow in json.loads(said.stdout)} == either
