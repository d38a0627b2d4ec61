"""The demo's flow of crewAI: run in an environment of its own, and shown from its row while it goes on."""

import asyncio
import os
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from rich.console import Console
from rich.live import Live
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain import EnrichmentError, FlowNotFound
from masterflow.repository.database import session_factory
from masterflow.repository.status.reads import FlowScope
from masterflow.scripts.celery_commands import ROOT
from masterflow.scripts.database import with_engine
from masterflow.scripts.demonstration.flows import CONTEXT
from masterflow.scripts.demonstration.servers import Crew, end_of
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.terminal.flow_panel import FlowPanel
from masterflow.scripts.terminal.flow_view import FlowView, read_flow
from masterflow.scripts.terminal.whole import print_whole

_PYTHON: Final = ROOT / ".local" / "crewai" / "bin" / "python"
_LOOK_INTERVAL_S: Final = 0.3
_SETTINGS: Final = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "ENRICHMENT_PRICES": str(ROOT / "scripts" / "sample_crew" / "prices.json"),
}


class CrewFlowFailed(EnrichmentError):
    """The flow of crewAI did not end as it should."""


def perform_crew(console: Console, crew: Crew, log: Path, *, pace_s: float) -> None:
    """Run the flow, show its row as it fills, and once more when the workers have confirmed every event.

    Raises:
        CrewFlowFailed: it did not end well; the message says how its log ends.
    """
    flow_id = uuid4()
    tenant = (CONTEXT.client_account_id, CONTEXT.engagement_id, CONTEXT.user_id)
    arguments = [str(flow_id), *map(str, tenant), f"--pace-s={pace_s}"]
    command = [str(_PYTHON), "-m", "masterflow.scripts.sample_crew", *arguments]
    log.unlink(missing_ok=True)
    with SupervisedProcess(command, env=os.environ | _SETTINGS, folder=ROOT, log=log) as process:
        view = with_engine(lambda engine: _watch(engine, console, crew, process, flow_id))
        if process.wait() != 0 or view is None:
            raise CrewFlowFailed(f"The flow of crewAI did not end well; {end_of(log)}")
    print_whole(console, FlowPanel(view))


async def _watch(
    engine: AsyncEngine, console: Console, crew: Crew, process: SupervisedProcess, flow_id: UUID
) -> FlowView | None:
    """Return the row as it is when the process has ended; None if it made none."""
    sessions, scope, view = session_factory(engine), FlowScope.of(CONTEXT), None
    with Live(console=console, transient=True, auto_refresh=False) as live:
        goes_on = True
        while goes_on:
            crew.check()
            # One more look after its end.
            goes_on = process.is_running
            async with sessions() as session:
                try:
                    view = await read_flow(session, scope, flow_id)
                except FlowNotFound:
                    pass
                else:
                    live.update(FlowPanel(view), refresh=True)
            await asyncio.sleep(_LOOK_INTERVAL_S)
    return view
