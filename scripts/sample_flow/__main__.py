"""Runs one sample flow: `python -m masterflow.scripts.sample_flow --csv FILE --scenario well`."""

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer

from masterflow import tracker
from masterflow.domain import EnrichmentError, FlowContext
from masterflow.domain.tenant import flow_context
from masterflow.repository.database import make_engine, session_factory
from masterflow.repository.settings import DatabaseSettings
from masterflow.scripts.sample_flow import (
    SERVERS_CSV,
    Outcome,
    PostgresChildStore,
    Scenario,
    check_csv,
    create_flow,
    run_flow,
)
from masterflow.scripts.terminal.entrance import run_program
from masterflow.scripts.terminal.failures import fail
from masterflow.scripts.terminal.text import complain, say

_FLUSH_TIMEOUT_S = 30.0

app = typer.Typer(add_completion=False)


@app.command()
def main(
    csv: Annotated[Path, typer.Option(help="The servers to discover.")] = SERVERS_CSV,
    scenario: Annotated[Scenario, typer.Option(help="What happens to the flow.")] = Scenario.WELL,
    client_account_id: Annotated[str, typer.Option(help="A UUID; by default a new one.")] = "",
    engagement_id: Annotated[str, typer.Option(help="A UUID; by default a new one.")] = "",
    user_id: Annotated[str, typer.Option(help="On whose behalf the flow runs.")] = "sample",
) -> None:
    """Run a discovery flow over a CSV of servers and report it to its master row."""
    flow_id = uuid4()
    try:
        remarks = check_csv(csv)
        context = flow_context(client_account_id or uuid4(), engagement_id or uuid4(), user_id)
        outcome = asyncio.run(_run(context, flow_id, csv, scenario=scenario))
        is_delivered = tracker.flush(_FLUSH_TIMEOUT_S)
    except EnrichmentError as error:
        fail(str(error))
    for sentence in (*_summary(context, flow_id, outcome), *remarks):
        say(sentence)
    if not is_delivered:
        complain("Some reports are not confirmed yet; they are kept. Is a worker running?")


async def _run(context: FlowContext, flow_id: UUID, csv: Path, *, scenario: Scenario) -> Outcome:
    engine = make_engine(DatabaseSettings())
    try:
        sessions = session_factory(engine)
        await create_flow(sessions, context, flow_id, name=f"Discovery of {csv.name}")
        store = PostgresChildStore(sessions, context, flow_id)
        return await run_flow(context, flow_id, csv, scenario, store)
    finally:
        await engine.dispose()


def _summary(context: FlowContext, flow_id: UUID, outcome: Outcome) -> tuple[str, str]:
    chosen = ", ".join(f"{name} {count}" for name, count in outcome.by_strategy.items()) or "none yet"
    return (
        f"Flow {flow_id} of client account {context.client_account_id}: {outcome.status} "
        f"after {outcome.duration_s:.1f} s.",
        f"{outcome.rows} rows, {outcome.issues} issues, {outcome.servers} servers; strategies: {chosen}.",
    )


if __name__ == "__main__":
    run_program(lambda: app(standalone_mode=False))
