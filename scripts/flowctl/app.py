"""All commands of `flowctl`, and how a command that cannot do its work ends."""

import logging
from typing import Annotated

import typer

import masterflow
from masterflow.scripts.flowctl import (
    dead,
    doctor,
    events,
    flag,
    flow,
    health,
    outbox,
    processes,
    security,
    tables,
    token,
)
from masterflow.scripts.flowctl.control import requests as _requests  # noqa: F401  adds to `flowctl flow`
from masterflow.scripts.flowctl.control.inbox import inbox
from masterflow.scripts.flowctl.fleet import notices
from masterflow.scripts.flowctl.fleet.overview import fleet
from masterflow.scripts.flowctl.flows import archive as _archive  # noqa: F401  adds to `flowctl flow`
from masterflow.scripts.flowctl.flows import compare as _compare  # noqa: F401  adds to `flowctl flow`
from masterflow.scripts.flowctl.flows import listing as _listing  # noqa: F401  adds to `flowctl flow`
from masterflow.scripts.flowctl.options import command_group
from masterflow.scripts.maintenance.backfill_master_state_from_child import backfill
from masterflow.scripts.terminal.entrance import run_program
from masterflow.scripts.terminal.failures import fail

app = command_group(
    "Run, watch and repair the enrichment of master flows.",
    epilog="Exit codes: 0 done, 1 something is not as it should be, 2 misused, 3 a server does not answer,"
    " 130 after Ctrl-C.",
)
app.info.name = "flowctl"


def _show_version(wanted: bool) -> None:  # noqa: FBT001  as Typer calls it
    if wanted:
        typer.echo(f"masterflow {masterflow.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command("init-db")(tables.init_db)
app.command("worker", context_settings=processes.PASS_ON)(processes.worker)
app.command("beat", context_settings=processes.PASS_ON)(processes.beat)
app.command("flower", context_settings=processes.PASS_ON)(processes.flower)

app.command("backfill")(backfill)
app.add_typer(flow.group, name="flow")
app.command("fleet")(fleet)
app.command("inbox")(inbox)
app.add_typer(events.group, name="events")
app.add_typer(health.group, name="health")
app.add_typer(flag.group, name="flag")
app.add_typer(dead.group, name="dead")
app.add_typer(notices.group, name="notices")
app.add_typer(outbox.group, name="outbox")
app.add_typer(security.group, name="security")
app.command("token")(token.token)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command that the arguments name."""
    # What the layers would log, a command says itself.
    logging.getLogger().addHandler(logging.NullHandler())
    run_program(_run)


def _run() -> int | None:
    try:
        code: int | None = app(standalone_mode=False)
    except typer.Abort as abort:
        # Of Ctrl-C too, with a Click before 8.2.
        if isinstance(abort.__cause__, KeyboardInterrupt):
            raise
        fail("Nothing was done.")
    return code
