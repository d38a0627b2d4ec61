import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.domain.phases import PHASES
from masterflow.repository.database import session_factory
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from tests.support.events.child_rows import SHAPES, new_child
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.status_site import StatusSite
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import engine_for, fill_with_tables, temporary_database
from tests.support.servers.debian import installed_program
from tests.support.servers.pgbouncer import pgbouncer_before

SETUPS = ("PostgreSQL 18 and Redis", "PostgreSQL 15", "pgbouncer", "RabbitMQ")
_EVERYWHERE = {"ENRICHMENT_BACKFILL_INTERVAL_S": "1", "ENRICHMENT_FLOW_GRACE_S": "1"}


@dataclass(frozen=True)
class Site:
    """Worker and status API on one set of servers."""

    #: Of the server itself, whatever stands before it.
    database_url: str
    place: Workplace
    api: StatusSite

    def run_sample_flow(self, context: FlowContext, scenario: str) -> UUID:
        """Run an orchestrator to its end, by when all that it reported is confirmed."""
        client, engagement = context.client_account_id, context.engagement_id
        tenant = [f"--client-account-id={client}", f"--engagement-id={engagement}"]
        done = subprocess.run(
            [sys.executable, "-m", "masterflow.scripts.sample_flow", "--scenario", scenario, *tenant],
            env=self.place.environment,
            cwd=self.place.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        found = re.match(r"Flow (\S+)", done.stdout)
        assert found, done.stdout
        return UUID(found[1])

    def add_flow_behind(self, context: FlowContext) -> UUID:
        """Add both rows of a flow of which nobody reported anything."""
        flow_id = self.place.new_flow(context)

        async def add_child() -> None:
            engine = engine_for(self.database_url)
            async with session_factory(engine).begin() as session:
                shape = SHAPES["newer, waiting"]
                await new_child(session, context, flow_id, updated_at=datetime.now(UTC), **shape)
            await engine.dispose()

        asyncio.run(add_child())
        return flow_id

    def status(self, context: FlowContext, flow_id: UUID) -> dict[str, Any]:
        """Return what the API tells of a flow."""
        answer = self.api.get(f"/api/v1/flows/{flow_id}/status", headers=self.api.bearer(context))
        assert answer.is_success, answer.text
        status: dict[str, Any] = answer.json()
        return status


@contextmanager
def postgres_15(folder: Path) -> Iterator[str]:
    programs = installed_program("postgresql-15", "postgres").resolve().parent
    server = EmbeddedPostgres(folder / "postgres-15", programs=programs, durable=False)
    with server:
        yield server.url
    server.remove()


@contextmanager
def settings_of(setup: str, database_url: str, folder: Path) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        redis = EmbeddedRedis(folder / "redis")
        stack.callback(redis.remove)
        settings = {**_EVERYWHERE, "DATABASE_URL": database_url, "REDIS_URL": stack.enter_context(redis).url}
        settings["ENRICHMENT_SPOOL_DIR"] = str(folder / "spool")
        if setup == "pgbouncer":
            settings["DATABASE_URL"] = stack.enter_context(pgbouncer_before(database_url, folder))
            settings["ENRICHMENT_PGBOUNCER"] = "true"
        if setup == "RabbitMQ":
            installed_program("rabbitmq-server", "rabbitmq-server")
            rabbitmq = RabbitMQ(folder / "rabbitmq")
            stack.callback(rabbitmq.remove)
            settings["CELERY_BROKER_URL"] = stack.enter_context(rabbitmq).url
        yield settings


@pytest.fixture(scope="module", params=SETUPS)
def site(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Site]:
    folder = server_folder / f"site-{uuid4().hex}"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        enter = stack.enter_context
        is_15 = request.param == "PostgreSQL 15"
        server_url = enter(postgres_15(folder)) if is_15 else request.getfixturevalue("postgres_server")
        database_url = enter(temporary_database(server_url))
        fill_with_tables(database_url)
        settings = enter(settings_of(request.param, database_url, folder))
        servers = {name.lower(): settings.pop(name) for name in ("DATABASE_URL", "REDIS_URL")}
        place = Workplace(folder, **servers, **settings)
        api = StatusSite(folder, **servers, **settings)
        enter(place.worker("--concurrency", "2"))
        yield Site(database_url, place, enter(api))
    place.remove()


@pytest.fixture
def context() -> FlowContext:
    return new_context()


@pytest.mark.long("PostgreSQL 18 and Redis", "PostgreSQL 15", "pgbouncer")
def test_what_an_orchestrator_reports_stands_in_the_row_and_is_shown(
    site: Site, context: FlowContext
) -> None:
    flow_id = site.run_sample_flow(context, "retry")
    row = site.place.row(flow_id)
    steps = [(entry["phase"], entry["status"]) for entry in row["phase_transitions"]]
    assert [phase for phase, status in steps if status == "completed"] == list(PHASES)
    assert row["phase_execution_times"].keys() == set(PHASES)
    assert [entry["phase"] for entry in row["error_history"]] == ["data_cleansing"]
    assert (row["flow_status"], row["retry_count"]) == ("completed", 1)
    assert row["agent_collaboration_log"]
    assert row["memory_usage_metrics"]["peak_memory_mb"] > 0
    status = site.status(context, flow_id)
    assert (status["status"], status["progress_percentage"]) == ("completed", 100)
    assert set(status["phases"].values()) == {"completed"}
    assert (status["error_count"], status["retry_count"]) == (1, 1)


@pytest.mark.long("PostgreSQL 18 and Redis", "PostgreSQL 15", "pgbouncer")
def test_what_nobody_reported_is_caught_up_from_the_child_row(site: Site, context: FlowContext) -> None:
    flow_id = site.add_flow_behind(context)
    with site.place.celery("beat"):
        eventually(lambda: site.status(context, flow_id)["phases"], timeout_s=30)
    status = site.status(context, flow_id)
    assert status["phases"] == {"data_import": "completed", "field_mapping_generation": "processing"}
    assert status["progress_percentage"] == 33.3


@pytest.mark.long("PostgreSQL 18 and Redis", "PostgreSQL 15", "pgbouncer")
def test_what_can_never_be_applied_is_set_aside(site: Site, context: FlowContext) -> None:
    flow_id = uuid4()
    site.place.publish([new_event(FlowRetried, context, flow_id)], context)
    [letter] = eventually(lambda: [one for one in site.place.letters() if one.flow_id == str(flow_id)])
    assert letter.reason == "flow_not_found"
