"""What the OpenAPI document says and what the API does, held against each other by schemathesis."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings

from masterflow.domain import FlowContext
from masterflow.repository.database import session_factory
from masterflow.status.app import make_app
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import flow_of, full_story, report
from tests.support.processes.status_site import PROBE_TOKEN, StatusSite
from tests.support.servers.databases import engine_for

_CONFIG = schemathesis.Config()
# Which tokens may see what is asked by test_status_access.py.
_CONFIG.projects.default.generation.with_security_parameters = False

_ODD_COLUMNS: dict[str, Any] = {
    "phase_transitions": {"no": "list"},
    "error_history": [1, None, "text", {"error": {"nested": [None]}}],
    "agent_collaboration_log": ...,
    "phase_execution_times": {"data_import": 12, "p": None},
    "agent_performance_metrics": "text",
    "flow_metadata": {"phase_transitions": 3, "last_progress_update": {"progress_percentage": "many"}},
    "flow_persistence_data": [],
}

# The stream of all flows never ends; that of one flow is asked for flows that nobody has.
_API = schemathesis.openapi.from_dict(make_app().openapi(), config=_CONFIG).exclude(path="/api/v1/events")


@pytest.fixture(scope="module")
def tenant() -> FlowContext:
    return new_context()


@pytest.fixture(scope="module")
def flow_ids(site_and_database: tuple[StatusSite, str], tenant: FlowContext) -> list[UUID]:
    """A flow that tells all there is, one that tells nothing, and one whose columns hold the wrong things."""

    async def tell() -> list[UUID]:
        engine = engine_for(site_and_database[1])
        sessions = session_factory(engine)
        full, bare = await flow_of(sessions, tenant), await flow_of(sessions, tenant)
        await report(sessions, tenant, full, *full_story())
        odd = await flow_of(sessions, tenant, **_ODD_COLUMNS)
        await engine.dispose()
        return [full, bare, odd]

    return asyncio.run(tell())


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@_API.parametrize()
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_answer_is_as_the_document_describes(
    case: schemathesis.Case[Any],
    site: StatusSite,
    tenant: FlowContext,
    flow_ids: list[UUID],
    session: requests.Session,
) -> None:
    _name_a_flow(case, flow_ids)
    if case.method == "POST" and "wait_s" not in case.query and isinstance(case.query, dict):
        case.query["wait_s"] = 0  # nobody works here
    is_probe = not case.path.startswith("/api/")
    headers = {"Authorization": f"Bearer {PROBE_TOKEN}"} if is_probe else site.bearer(tenant)
    case.call_and_validate(
        base_url=site.url,
        headers=headers,
        session=session,
        excluded_checks=[schemathesis.checks.ignored_auth],
    )


def _name_a_flow(case: schemathesis.Case[Any], flow_ids: list[UUID]) -> None:
    """Let three of four ids stand for flows that there are."""
    try:
        number = UUID(str(case.path_parameters["flow_id"])).int % 4
    except (KeyError, ValueError):
        return
    if number < len(flow_ids) and not case.path.endswith("/events"):
        case.path_parameters["flow_id"] = str(flow_ids[number])
