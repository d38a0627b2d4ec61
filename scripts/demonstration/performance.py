"""The course of the demo: tables, flows, and what stands in the rows once everything is confirmed."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow import tracker
from masterflow.domain import EnrichmentError
from masterflow.repository.database import session_factory
from masterflow.repository.status.reads import FlowScope
from masterflow.repository.tables import create_tables
from masterflow.scripts.broker import dead_letters
from masterflow.scripts.database import with_engine, with_session
from masterflow.scripts.demonstration.example_checks import EXAMPLE_CHECKS, run_check
from masterflow.scripts.demonstration.flows import CONTEXT, Act, run_acts
from masterflow.scripts.demonstration.servers import Crew
from masterflow.scripts.demonstration.stage import print_check, progress_bars
from masterflow.scripts.sample_flow import Scenario
from masterflow.scripts.terminal.flow_panel import FlowPanel
from masterflow.scripts.terminal.flow_view import FlowView, read_flow
from masterflow.scripts.terminal.whole import print_whole
from masterflow.tasks.dead_letters.letters import Selection
from masterflow.tasks.enqueue import Awaited, ConfirmationInbox, QueueSettings

_CONFIRM_TIMEOUT_S: Final = 60.0
_LOOK_INTERVAL_S: Final = 0.5


class DemoFailed(EnrichmentError):
    """The rows do not hold everything that the flows reported."""


def set_the_stage() -> None:
    """Make sure that Postgres has the tables, and that Redis and the broker answer."""
    with_engine(create_tables)
    nothing = Awaited("", "", names=(CONTEXT.user_id,), digest=lambda _: None)
    ConfirmationInbox(QueueSettings(), CONTEXT.user_id).receive([nothing])
    with dead_letters() as letters:
        letters.count()


def perform(console: Console, csv: Path, crew: Crew) -> None:
    """Run the flows, and show their rows once the workers have confirmed every event."""
    acts = [Act(scenario) for scenario in Scenario]
    with progress_bars(console, acts) as on_progress:
        with_engine(lambda engine: run_acts(acts, csv, session_factory(engine), on_progress=on_progress))
    with console.status("Waiting until the workers have confirmed every event", spinner="line"):
        _wait_until_confirmed(crew)
    _require_nothing_lost(acts)
    for view in with_session(partial(_views, acts=acts)):
        print_whole(console, FlowPanel(view))
        console.print()
    for sql in EXAMPLE_CHECKS.values():
        print_check(console, sql, with_engine(partial(_check, sql=sql, acts=acts)))
    crew.wait_until_visible()


def _wait_until_confirmed(crew: Crew) -> None:
    deadline = time.monotonic() + _CONFIRM_TIMEOUT_S
    while not tracker.flush(_LOOK_INTERVAL_S):
        crew.check()
        if time.monotonic() > deadline:
            raise DemoFailed("The worker does not confirm what the flows report; worker.log may say why.")


def _require_nothing_lost(acts: Sequence[Act]) -> None:
    if lost := tracker.outbox_status()["lost"]:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in lost.items())
        raise DemoFailed(f"Events were lost before they were sent ({reasons}); demo.log may say why.")
    with dead_letters() as letters:
        for act in acts:
            if found := letters.read(Selection(flow_id=str(act.flow_id)), limit=1):
                raise DemoFailed(f"An event could not be applied: {found[0].error}")


async def _views(session: AsyncSession, *, acts: Sequence[Act]) -> list[FlowView]:
    return [await read_flow(session, FlowScope.of(CONTEXT), act.flow_id) for act in acts]


async def _check(
    engine: AsyncEngine, *, sql: str, acts: Sequence[Act]
) -> dict[Act, Sequence[Mapping[Any, Any]]]:
    async with engine.connect() as connection:
        account = CONTEXT.client_account_id
        return {
            act: await run_check(connection, sql, flow_id=act.flow_id, client_account_id=account)
            for act in acts
        }
