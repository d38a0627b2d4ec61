"""The demo as a program: `./scripts/demo`, with `--once`, with `--csv FILE`, or with `--crewai`."""

import fcntl
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from masterflow.domain import EnrichmentError
from masterflow.scripts.celery_commands import ROOT
from masterflow.scripts.demonstration.crew_flow import perform_crew
from masterflow.scripts.demonstration.flows import CONTEXT
from masterflow.scripts.demonstration.performance import (
    AskingAct,
    answer_for_all,
    perform,
    set_the_stage,
    show_end,
)
from masterflow.scripts.demonstration.servers import Crew, running_servers
from masterflow.scripts.demonstration.stage import print_guide
from masterflow.scripts.sample_flow import SERVERS_CSV, check_csv
from masterflow.scripts.terminal.text import terminal_text

_SHARED_SETTINGS: Final = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "ENRICHMENT_SPOOL_DIR")

#: What each step of crewAI's flow takes, for somebody who looks.
_PACE_S: Final = 1.5

app = typer.Typer(add_completion=False)


class FolderUnusable(EnrichmentError):
    """The demo cannot keep its data where it should."""


@app.command()
def main(
    *,
    csv: Annotated[Path, typer.Option(help="The servers to discover.")] = SERVERS_CSV,
    crewai: Annotated[
        bool, typer.Option("--crewai", help="Run an unmodified flow of crewAI, with a scripted model.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="End by itself; without a terminal it does.")] = False,
    folder: Annotated[Path, typer.Option(help="Where data and logs are kept.")] = ROOT / ".local" / "demo",
) -> None:
    """Run three real flows through a real worker, and show the rows they fill."""
    console, folder = Console(highlight=False), folder.absolute()
    stays = not once and sys.stdin.isatty() and console.is_terminal
    if crewai:
        require_own_csv(csv)
    with ended_by_signals():
        remarks = check_csv(csv)
        with reserved(folder), running_servers(folder) as settings:
            os.environ.update(settings)
            os.environ.setdefault("ENRICHMENT_SPOOL_DIR", str(folder / "spool"))
            set_the_stage()
            with Crew(folder) as crew, settings_file(folder) as settings_path:
                crew.start_celery()
                if stays:
                    crew.start_page(CONTEXT)
                if crewai and stays:
                    # Its page fills while one looks.
                    crew.wait_until_visible()
                    guide(console, crew, settings_path)
                if crewai:
                    perform_crew(console, crew, folder / "crewai.log", pace_s=_PACE_S if stays else 0)
                else:
                    asking = perform(console, csv, crew)
                    for remark in remarks:
                        console.print(terminal_text(remark))
                    finish(console, crew, settings_path, asking, stays=stays)
                if stays and crewai:
                    stay(console, crew)


def finish(console: Console, crew: Crew, settings_path: Path, asking: AskingAct, *, stays: bool) -> None:
    """Let people who look answer the flow that asks, or answer for them."""
    if not stays:
        answer_for_all(console, crew, asking)
        return
    console.print(f"“{asking.act.title}” asks you something: answer on its page, and it runs on.\n")
    guide(console, crew, settings_path)
    stay(console, crew, asking)


def require_own_csv(csv: Path) -> None:
    """Make sure that nobody wants the flow of crewAI to read a file.

    Raises:
        BadParameter: somebody does.
    """
    if csv != SERVERS_CSV:
        raise typer.BadParameter("The flow of crewAI reads the sample's servers; leave out --csv.")


def guide(console: Console, crew: Crew, settings_path: Path) -> None:
    """Say where to look."""
    flowctl = Path(sys.executable).with_name("flowctl")
    commands = f". {shlex.quote(str(settings_path))}\n{shlex.quote(str(flowctl))} flow list"
    print_guide(console, {**crew.places, "In another shell": commands})


def stay(console: Console, crew: Crew, asking: AskingAct | None = None) -> None:
    """Keep everything running until Ctrl-C, and show the flow that asks once somebody has answered."""
    try:
        while True:
            time.sleep(1)
            crew.check()
            if asking and asking.is_over:
                show_end(console, crew, asking)
                asking = None
    except KeyboardInterrupt:
        console.print("\nEnding everything ...")


@contextmanager
def settings_file(folder: Path) -> Iterator[Path]:
    """Keep a file of what another shell needs to read the demo's rows, while they can be read."""
    path = folder / "settings.sh"
    path.touch(mode=0o600)
    values = {name: os.environ[name] for name in _SHARED_SETTINGS if name in os.environ} | {
        "FLOWCTL_CLIENT": str(CONTEXT.client_account_id),
        "FLOWCTL_ENGAGEMENT": str(CONTEXT.engagement_id),
    }
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
    try:
        yield path
    finally:
        path.unlink()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let signals that end a process take everything down first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Hold the folder, so that two demos do not share it.

    Raises:
        FolderUnusable: another demo holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        logging.basicConfig(filename=folder / "demo.log", filemode="w", force=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise FolderUnusable(
            f"{folder} cannot be written ({error.strerror}); name another --folder."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderUnusable(f"Another demo uses {folder}; end it, or name another --folder.") from error
        yield
