"""Metrics, API, page and terminal tell the same numbers."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from masterflow.domain import FlowContext
from masterflow.domain.events import ErrorOccurred, PhaseTimed, StatusChanged, UsageReported
from masterflow.domain.usage.amounts import Usage, UsageCounted
from masterflow.repository.database import session_factory
from masterflow.scripts.flowctl import main
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import flow_of, report
from tests.support.processes.status_site import PROBE_TOKEN, StatusSite
from tests.support.servers.databases import engine_for

_PROBE = {"Authorization": f"Bearer {PROBE_TOKEN}"}
_COST = 12_500_000


@pytest.fixture
def contexts(database_url: str) -> Any:
    return asyncio.run(_flows(database_url))


async def _flows(database_url: str) -> list[FlowContext]:
    """Make two tenants with flows of every fate, in a database that holds no others."""
    engine = engine_for(database_url)
    sessions, found = session_factory(engine), [new_context(), new_context()]
    amounts = Usage(3, 4_000, 900, _COST, 1)
    for number, context in enumerate(found):
        usage = {
            "agent": "Ann",
            "model": "small",
            "used": amounts,
            "counted": UsageCounted(by="process-0001", agent=amounts, flow=amounts),
        }
        for status in ("completed", "failed", "waiting_for_approval", "processing")[number:]:
            flow_id = await flow_of(sessions, context)
            await report(
                sessions,
                context,
                flow_id,
                (PhaseTimed, {"phase": "data_import", "execution_time_ms": 100.0 * (number + 1)}),
                (PhaseTimed, {"phase": f"row {uuid4()}", "execution_time_ms": 5.0}),
                (ErrorOccurred, {"phase": "data_import", "error": "no answer within 3 s"}),
                (StatusChanged, {"status": status}),
                (UsageReported, usage),
            )
    await engine.dispose()
    return found


def _metrics(site: StatusSite) -> dict[str, dict[tuple[str, ...], float]]:
    text = site.get("/metrics", headers=_PROBE).text
    return {
        family.name: {(one.name, *one.labels.values()): one.value for one in family.samples}
        for family in text_string_to_metric_families(text)
    }


def _of_terminal(monkeypatch: Any, capsys: Any, context: Any) -> dict[str, Any]:
    tenant = ["--client", str(context.client_account_id), "--engagement", str(context.engagement_id)]
    monkeypatch.setattr(sys, "argv", ["flowctl", "fleet", *tenant, "--window", "hour", "--json"])
    with pytest.raises(SystemExit):
        main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_metrics_api_page_and_terminal_tell_the_same(
    contexts: list[Any], database_url: str, redis_url: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    with StatusSite(tmp_path, database_url=database_url, redis_url=redis_url) as site:
        views = []
        for context in contexts:
            view = site.get("/api/v1/fleet?window=hour", headers=site.bearer(context)).json()
            views.append(view)
            terminal = _of_terminal(monkeypatch, capsys, context)
            for changing in ("window", "over_time"):
                del view[changing], terminal[changing]
            assert terminal == view
            cookie = {"Cookie": f"enrichment_token={site.token(context)}"}
            page = site.get("/fleet?window=hour", headers=cookie).text
            assert f'<span class="figure">{view["in_all"]["started"]}</span> began' in page
        told = _metrics(site)

    def summed(name: str, *labels: str) -> float:
        return sum(value for key, value in told[name].items() if set(labels) <= set(key))

    assert (
        summed("enrichment_flows_open") == sum(sum(view["now"]["by_status"].values()) for view in views) == 4
    )
    assert summed("enrichment_hour_flows_started") == 7
    assert summed("enrichment_hour_flows_ended", "failed") == 2
    assert sum(view["in_all"]["failed"] for view in views) == 2
    waiting = "enrichment_flows_waiting_seconds"
    assert summed(waiting, f"{waiting}_count") == sum(view["now"]["waiting"] for view in views) == 2
    phases, count = "enrichment_hour_phase_seconds", "enrichment_hour_phase_seconds_count"
    assert summed(phases, count, "data_import") == 7
    # A name that differs each time is no label.
    assert summed(phases, count, "other") == 7
    labels = {label for key in told[phases] if key[0] == count for label in key[1:]}
    assert labels == {"discovery", "data_import", "other"}
    assert summed(phases, f"{phases}_bucket", "data_import", "0.256") == 7
    assert summed(phases, f"{phases}_bucket", "data_import", "0.064") == 0
    assert summed(phases, f"{phases}_sum", "data_import") == pytest.approx(4 * 0.1 + 3 * 0.2)
    cost = sum(view["usage"]["in_all"]["cost_usd"] for view in views)
    assert summed("enrichment_hour_cost_usd") == pytest.approx(cost) == pytest.approx(7 * _COST / 1e9)
