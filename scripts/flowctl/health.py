"""`flowctl health`: what a probe needs to know about worker, beat and status API, and their needs."""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from masterflow.scripts.flowctl.options import AsJson, command_group
from masterflow.scripts.flowctl.output import print_json, print_table
from masterflow.scripts.terminal.failures import exit_code_of
from masterflow.scripts.terminal.text import terminal_text
from masterflow.tasks.check_result import CheckResult

if TYPE_CHECKING:
    from rich.text import Text

group = command_group(
    "Probe a worker, beat or the status API, and what they need.",
    epilog="Exit codes: 0 all is well, 1 something is not, 3 a server that it needs does not answer.",
)


@group.command()
def worker(
    *,
    name: Annotated[str, typer.Option(help="The worker's name@host.")] = f"celery@{socket.gethostname()}",
    as_json: AsJson = False,
) -> None:
    """Tell whether a worker, its broker and its database are well."""
    from masterflow.tasks.health import worker_health

    _report(lambda: worker_health(name), as_json=as_json)


@group.command()
def beat(*, as_json: AsJson = False) -> None:
    """Tell whether beat and its broker are well."""
    from masterflow.tasks.health import beat_health

    _report(beat_health, as_json=as_json)


@group.command()
def api(
    *,
    url: Annotated[str, typer.Option(help="Where it is, unless it is on this machine.")] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port on this machine.")] = 8000,
    probe_token: Annotated[
        str,
        typer.Option(
            envvar="ENRICHMENT_STATUS_PROBE_TOKEN", show_default=False, help="What the API lets probes in by."
        ),
    ] = "",
    live: Annotated[
        bool, typer.Option("--live", help="Ask only whether it lives, which needs no token.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell whether a status API lives, and whether Postgres and Redis answer it."""
    from masterflow.scripts.api_health import api_health

    address = url or f"http://127.0.0.1:{port}"
    _report(lambda: api_health(address, probe_token=probe_token, asks_ready=not live), as_json=as_json)


def _report(look: Callable[[], list[CheckResult]], *, as_json: bool) -> None:
    from masterflow.scripts.celery_commands import ROOT

    # Celery looks for its configuration where we stand, and a user's folder may hold another one.
    os.chdir(ROOT)
    results = look()
    if as_json:
        print_json({result.name: result.problem or "ok" for result in results})
    else:
        rows = ((result.name, _mark(result)) for result in results)
        print_table(("what", "result"), rows, empty="Nothing was looked at.")
    if code := exit_code_of(results):
        raise typer.Exit(code)


def _mark(result: CheckResult) -> "Text":
    return terminal_text(f"✘ {result.problem}", "red") if result.problem else terminal_text("✔ well", "green")
