"""`flowctl health`: probes that tell the truth about worker and beat, and about what they need."""

import os
import socket
from collections.abc import Callable
from typing import Annotated

import typer
from rich.text import Text

from scripts.celery_commands import ROOT
from scripts.failures import FAILED
from scripts.flowctl.options import AsJson
from scripts.flowctl.output import print_json, print_table
from tasks.health import Finding, beat_health, worker_health

group = typer.Typer(no_args_is_help=True, help="Probe a worker or beat, and what they need.")


@group.command()
def worker(
    *,
    name: Annotated[str, typer.Option(help="The worker's name@host.")] = f"celery@{socket.gethostname()}",
    as_json: AsJson = False,
) -> None:
    """Tell whether a worker, its broker and its database are well; exit code 1 if not."""
    _report(lambda: worker_health(name), as_json=as_json)


@group.command()
def beat(*, as_json: AsJson = False) -> None:
    """Tell whether beat and its broker are well; exit code 1 if not."""
    _report(beat_health, as_json=as_json)


def _report(look: Callable[[], list[Finding]], *, as_json: bool) -> None:
    # Celery looks for its configuration where we stand, and a user's folder may hold another one.
    os.chdir(ROOT)
    findings = look()
    if as_json:
        print_json({finding.name: finding.problem or "ok" for finding in findings})
    else:
        rows = ((finding.name, _mark(finding)) for finding in findings)
        print_table(("what", "finding"), rows, empty="Nothing was looked at.")
    if any(finding.problem for finding in findings):
        raise typer.Exit(FAILED)


def _mark(finding: Finding) -> Text:
    return Text(f"✘ {finding.problem}", "red") if finding.problem else Text("✔ well", "green")
