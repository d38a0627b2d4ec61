"""Runs the demo: `./scripts/demo`, `./scripts/demo --once`, `./scripts/demo --csv FILE`."""

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
from masterflow.scripts.demonstration.flows import CONTEXT
from masterflow.scripts.demonstration.performance import perform, set_the_stage
from masterflow.scripts.demonstration.servers import Crew, running_servers
from masterflow.scripts.demonstration.stage import print_guide
from masterflow.scripts.sample_flow import SERVERS_CSV, check_csv
from masterflow.scripts.terminal.entrance import run_program
from masterflow.scripts.terminal.text import terminal_text

_SHARED_SETTINGS: Final = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "ENRICHMENT_SPOOL_DIR")

app = typer.Typer(add_completion=False)


class FolderUnusable(EnrichmentError):
    """The demo cannot keep its data where it should."""


@app.command()
def main(
    *,
    csv: Annotated[Path, typer.Option(help="The servers to discover.")] = SERVERS_CSV,
    once: Annotated[bool, typer.Option("--once", help="End by itself; without a terminal it does.")] = False,
    folder: Annotated[Path, typer.Option(help="Where data and logs are kept.")] = ROOT / ".local" / "demo",
) -> None:
    """Run three real flows through a real worker, and show the rows they fill."""
    console, folder = Console(highlight=False), folder.absolute()
    stays = not once and sys.stdin.isatty() and console.is_terminal
    with ended_by_signals():
        remarks = check_csv(csv)
        with reserved(folder), running_servers(folder) as settings:
            os.environ.update(settings)
            os.environ.setdefault("ENRICHMENT_SPOOL_DIR", str(folder / "spool"))
            set_the_stage()
            with Crew(folder) as crew:
                crew.start_celery()
                if stays:
                    crew.start_page(CONTEXT)
                perform(console, csv, crew)
                for remark in remarks:
                    console.print(terminal_text(remark))
                if stays:
                    stay(console, folder, crew)


def stay(console: Console, folder: Path, crew: Crew) -> None:
    """Say where to look, and keep everything running until Ctrl-C."""
    settings = folder / "settings.sh"
    settings.touch(mode=0o600)
    values = {name: os.environ[name] for name in _SHARED_SETTINGS if name in os.environ} | {
        "FLOWCTL_CLIENT": str(CONTEXT.client_account_id),
        "FLOWCTL_ENGAGEMENT": str(CONTEXT.engagement_id),
    }
    settings.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
    flowctl = Path(sys.executable).with_name("flowctl")
    commands = f". {shlex.quote(str(settings))}\n{shlex.quote(str(flowctl))} flow list"
    print_guide(console, {**crew.places, "In another shell": commands})
    try:
        while True:
            time.sleep(1)
            crew.check()
    except KeyboardInterrupt:
        console.print("\nEnding everything ...")
    finally:
        settings.unlink()


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


if __name__ == "__main__":
    run_program(lambda: app(prog_name="./scripts/demo", standalone_mode=False))
