"""`flowctl doctor`: everything an operator can have wrong, and what to do about it."""

import os
from dataclasses import asdict
from typing import Final

import typer
from rich.text import Text

from masterflow.scripts.celery_commands import ROOT
from masterflow.scripts.doctor import examine
from masterflow.scripts.flowctl.options import AsJson
from masterflow.scripts.flowctl.output import print_json, print_table
from masterflow.scripts.terminal.failures import exit_code_of
from masterflow.scripts.terminal.text import terminal_text
from masterflow.tasks.findings import Finding

_MARKS: Final = {"note": ("•", "yellow"), "problem": ("✘", "red"), "away": ("✘", "red")}


def doctor(*, as_json: AsJson = False) -> None:
    """Look at settings, servers, tables, processes and the outbox, and say what to do.

    Exit codes: 0 nothing but notes, 1 a problem, 3 a server does not answer.
    """
    # Celery looks for its configuration where we stand, and a user's folder may hold another one.
    os.chdir(ROOT)
    findings = examine()
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(
            ("what", "finding"), ((it.name, _said(it)) for it in findings), empty="Nothing was looked at."
        )
    _exit(findings)


def _exit(findings: list[Finding]) -> None:
    if code := exit_code_of(findings):
        raise typer.Exit(code)


def _said(finding: Finding) -> Text:
    if finding.level == "well":
        return Text("✔ well", "green")
    mark, colour = _MARKS[finding.level]
    return terminal_text(f"{mark} {finding.sentence}", colour)
