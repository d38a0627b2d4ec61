"""`flowctl doctor`: everything an operator can have wrong, and what to do about it."""

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from masterflow.scripts.flowctl.options import AsJson
from masterflow.scripts.flowctl.output import print_json, print_table
from masterflow.scripts.terminal.failures import exit_code_of
from masterflow.scripts.terminal.text import terminal_text
from masterflow.tasks.check_result import CheckResult

if TYPE_CHECKING:
    from rich.text import Text

_MARKS: Final = {
    "note": ("•", "yellow"),
    "warning": ("▲", "yellow"),
    "problem": ("✘", "red"),
    "away": ("✘", "red"),
}


def doctor(
    *,
    crewai: Annotated[
        bool, typer.Option("--crewai", help="Look at crewAI instead, in a process of its own.")
    ] = False,
    python: Annotated[
        str, typer.Option(help="The Python that runs your flows.", show_default="this one")
    ] = sys.executable,
    as_json: AsJson = False,
) -> None:
    """Look at settings, servers, tables, processes and the outbox, and say what to do.

    Exit codes: 0 nothing but notes and warnings, 1 a problem, 3 a server does not answer.
    """
    results = _crewai(python) if crewai else _everything()
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        print_table(
            ("what", "result"), ((it.name, _said(it)) for it in results), empty="Nothing was looked at."
        )
    _exit(results)


def _crewai(python: str) -> list[CheckResult]:
    from masterflow.scripts.doctor.crewai import check_crewai

    return check_crewai(python)


def _everything() -> list[CheckResult]:
    from masterflow.scripts.celery_commands import ROOT
    from masterflow.scripts.doctor import examine

    # Celery looks for its configuration where we stand, and a user's folder may hold another one.
    os.chdir(ROOT)
    return examine()


def _exit(results: list[CheckResult]) -> None:
    if code := exit_code_of(results):
        raise typer.Exit(code)


def _said(result: CheckResult) -> "Text":
    if result.level == "well":
        return terminal_text(f"✔ {result.sentence or 'well'}", "green")
    mark, colour = _MARKS[result.level]
    return terminal_text(f"{mark} {result.sentence}", colour)
